"""The plug-in's catalogues: every string of the sources is in the template, and every language has all of them."""

from __future__ import annotations

import ast
from pathlib import Path

import polib
import pytest

PLUGIN = Path(__file__).parents[2] / "gimp_plugin/deep-image-blending"
LANGUAGES = ("de", "es", "fr")


def strings() -> set[str]:
    """What the sources pass to `_`, and the tables in the main file whose entries are."""
    found = set()
    for source in PLUGIN.glob("*.py"):
        for node in ast.walk(ast.parse(source.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "_" and isinstance(node.args[0], ast.Constant):
                found.add(node.args[0].value)
            if isinstance(node, ast.Assign) and node.targets[0].id in ("TARGETS", "PRESETS", "SLIDERS") if _plain(node) else False:
                found |= {text.value for entry in node.value.elts for text in entry.elts[1:]}
    return found


def _plain(node: ast.AST) -> bool:
    return isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)


def test_the_template_holds_every_string():
    assert {entry.msgid for entry in polib.pofile(str(PLUGIN / "locale/deep-image-blending.pot"))} == strings()


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_catalogue_is_complete(language):
    entries = polib.pofile(str(PLUGIN / f"locale/{language}.po"))
    assert {entry.msgid for entry in entries} == strings()
    for entry in entries:
        assert entry.translated(), entry.msgid
        assert ("_" in entry.msgid) == ("_" in entry.msgstr), entry.msgid
        for field in ("{name}", "{count}", "{stage}", "{text}", "{seconds}", "{error}"):
            assert (field in entry.msgid) == (field in entry.msgstr), entry.msgid
