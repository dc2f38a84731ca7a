"""The procedure's arguments: presets are the engine's, and no two labels of the dialog want the same key."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import polib
import pytest
from update_catalogues import TEMPLATE

from blend_protocol.methods import METHODS
from blend_protocol.presets import PRESETS, WHOLE
from dib import options

PROJECT = Path(__file__).resolve().parents[2]
IN_THE_DIALOG = ("Stop and _Keep", "Blend A_gain", "Fit", "_1:1", "Hold for before", "Compare…", "Ad_vanced")
OF_ONE_BUTTON = ("_Blend", "_Insert")


def labels() -> list[str]:
    texts = [row[1] for table in (options.CHOICES, options.SLIDERS, options.NUMBERS) for row in table]
    return [*texts, options.HIDE[1], options.MODEL[1], *IN_THE_DIALOG]


def test_the_presets_are_the_engines():
    assert [name for name, *_ in options.PRESETS] == list(PRESETS)
    assert options.sliders_of("painting") == {"style": 90, "content": 50, "colour": 50, "seam": 50}
    assert options.sliders_of("draft") == {"style": 50, "content": 50, "colour": 50, "seam": 50}


def test_the_methods_are_the_engines():
    assert [name for name, *_ in options.METHODS] == [*METHODS, "model"]


def test_the_table_for_scripts_has_every_argument_and_choice():
    table = (PROJECT / "docs/scripting.md").read_text().split("\n\n")[2]
    told = set(re.findall(r"`([\w+-]+)`", table))
    rows = (*options.CHOICES, *options.SLIDERS, *options.NUMBERS, options.HIDE, options.MODEL, options.TARGET_LAYER, options.ADDRESS)
    names = {row[0] for row in rows} | {choice[0] for row in options.CHOICES for choice in row[3]}
    assert names <= told, names - told


def test_what_a_method_does_not_use_is_not_sent():
    sent = options.read(Config(method="poisson", preset="draft", style=50, content=90, iterations=7), True).parameters
    assert sent == {"method": "poisson", "preset": "draft", "device": "auto", "seed": None}


def test_a_model_is_sent_by_its_name():
    sent = options.read(Config(method="model", model="tint", preset="draft", style=50), True).parameters
    assert sent == {"method": "model:tint", "preset": "draft", "device": "auto", "seed": None}
    assert options.read(Config(method="poisson", model="tint"), True).parameters["method"] == "poisson"


@pytest.mark.parametrize("model", [None, ""])
def test_no_model_is_told_apart(model):
    assert options.read(Config(method="model", model=model), True).parameters["method"] == options.NO_MODEL
    assert "style" not in options.uses(options.NO_MODEL)


def test_whole_numbers_have_the_engines_limits():
    limits = {row[0].replace("-", "_"): row[3:5] for row in options.NUMBERS}
    assert {name: limits[name] for name in WHOLE} == {name: (0, highest) for name, highest in WHOLE.items()}


@pytest.mark.parametrize("language", ["en", "de", "es", "fr"])
def test_no_two_labels_share_a_mnemonic(language):
    catalogue = [] if language == "en" else polib.pofile(str(TEMPLATE.parent / f"{language}.po"))
    translated = {entry.msgid: entry.msgstr for entry in catalogue}
    for button in OF_ONE_BUTTON:
        texts = [translated.get(label, label) for label in (*labels(), button)]
        keys = Counter(text[text.index("_") + 1].lower() for text in texts if "_" in text)
        assert {key for key, count in keys.items() if count > 1} == set(), sorted(text for text in texts if "_" in text)


class Config:
    """The values of a procedure's config."""

    def __init__(self, **values):
        self._values = values

    def get_property(self, name):
        return self._values.get(name.replace("-", "_"))


def test_a_slider_in_the_middle_leaves_it_to_the_preset_unless_it_was_seen():
    config = Config(preset="painting", style=50, content=50, colour=80, seam=50)
    assert {n: v for n, v in options.read(config, False).parameters.items() if n in options.SLIDER_NAMES} == {"colour": 80}
    assert options.read(config, True).parameters["style"] == 50


def test_a_layers_arguments_are_taken_only_where_they_say_how_to_blend_and_can_be_so():
    good = {"method": "model", "model": "tint", "preset": "photo", "style": 12.5, "seed": 7, "working-size": 64, "iterations": 9}
    good |= {"target": "chosen-layer", "target-layer": 5, "mask": "alpha", "grow": -3, "feather": 4}
    theirs = {"daemon": "tcp://evil:1", "device": "cuda:9", "output": "replace", "hide-source": False, "run-mode": 1, "image": 3}
    assert options.recalled({**good, **theirs}) == good
    bad = {"method": "rm", "model": "../x", "preset": ["draft"], "style": 101, "content": float("nan"), "seed": True, "iterations": 1.5}
    assert options.recalled(bad | {"grow": 10**30, "target-layer": "5", "mask": None, "feather": -1, "colour": "50"}) == {}
