"""The plug-in's catalogues: every string of the sources is in the template, and every language has all of them."""

from __future__ import annotations

import re

import polib
import pytest
from update_catalogues import TEMPLATE, strings


def test_the_template_holds_every_string():
    assert {entry.msgid for entry in polib.pofile(str(TEMPLATE))} == set(strings())


@pytest.mark.parametrize("language", ["de", "es", "fr"])
def test_the_catalogue_is_complete(language):
    entries = polib.pofile(str(TEMPLATE.parent / f"{language}.po"))
    assert {entry.msgid for entry in entries} == set(strings())
    for entry in entries:
        assert entry.translated(), entry.msgid
        assert entry.msgid.count("_") == entry.msgstr.count("_"), entry.msgid
        fields = re.compile(r"{\w+}")
        assert sorted(fields.findall(entry.msgid)) == sorted(fields.findall(entry.msgstr)), entry.msgid
