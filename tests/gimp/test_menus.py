"""Every menu path that the README, the help page and the plug-in's messages name is one of GIMP's real menus."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from harness import PROJECT
from update_catalogues import PLUGIN, strings

HERE = Path(__file__).parent
PATH = re.compile(r"\b(?:File|Edit|Select|View|Image|Layer|Filters)(?: (?:>|&gt;) [A-Z][\w-]*(?: [\w-]+)*…?)+")


def named() -> dict[str, str]:
    """Every menu path in texts for users, and where it stands."""
    texts = {"README.md": (PROJECT / "README.md").read_text(), "help": (PLUGIN / "help/en/index.html").read_text()}
    texts |= {f"{places[0][0]}:{places[0][1]}": f"{text} " for text, places in strings().items()}
    return {found[0].replace("&gt;", ">"): where for where, text in texts.items() for found in PATH.finditer(text)}


@pytest.fixture(scope="module")
def menus(gimp) -> set[str]:
    done = gimp.run(HERE / "menus.py", screen=True, bus=True)
    file = Path(gimp.environment["WORK"]) / "menus.json"
    assert file.exists(), done.stdout + done.stderr
    return {" > ".join(path).replace("...", "…") for path in json.loads(file.read_text())}


def test_every_menu_path_that_is_named_is_there(menus):
    paths = named()
    assert "README.md" in paths.values()
    assert {path: where for path, where in paths.items() if not there(path, menus)} == {}


def there(path: str, menus: set[str]) -> bool:
    """Whether the path, or without the words of the sentence that come after it, is a menu's."""
    words = path.split(" ")
    return any(" ".join(words[:end]) in menus for end in range(len(words), words[::-1].index(">") * -1 + len(words), -1))


def test_a_path_that_is_not_there_is_found_out(menus):
    assert not there("Edit > Paste as > New Layer", menus)  # what the README once named
    assert there("Edit > Paste as", menus)
    assert there("Image > Mode > RGB first", menus)
