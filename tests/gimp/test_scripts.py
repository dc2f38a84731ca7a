"""The scripts of docs/scripting.md, run as they stand there."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from harness import PROJECT
from PIL import Image


@pytest.fixture
def pictures(gimp) -> Path:
    """A folder that GIMP sees, with an object and pictures."""
    folder = Path(gimp.environment["WORK"]) / "pictures"
    (folder / "in").mkdir(parents=True)
    cat = np.array(Image.open(Path(gimp.environment["WORK"]) / "object.png").convert("RGBA"))
    y, x = np.mgrid[:120, :160]
    cat[..., 3] = ((y - 60) ** 2 + (x - 80) ** 2 < 40**2) * 255
    Image.fromarray(cat).save(folder / "object.png")
    for name in ("one", "two"):
        shutil.copy(Path(gimp.environment["WORK"]) / "picture.png", folder / "in" / f"{name}.png")
    yield folder
    shutil.rmtree(folder)


def blended(before: Path, after: Path) -> None:
    """Inside the disc the picture has changed, outside it has not."""
    old, new = (np.array(Image.open(path).convert("RGB")).astype(int) for path in (before, after))
    y, x = np.mgrid[:150, :200]
    disc = (y - 80) ** 2 + (x - 110) ** 2 < 40**2
    changed = (old != new).any(axis=2)
    assert not changed[~disc].any()
    assert changed[disc].mean() > 0.9


def test_a_folder_of_pictures(gimp, daemon, pictures):
    (pictures / "in/words.txt").write_text("no picture")
    environment = {"FOLDER": str(pictures / "in"), "OBJECT": str(pictures / "object.png"), "OUT": str(pictures / "out"), "PLACE": "30,20"}
    done = gimp.run(PROJECT / "examples/blend-folder.py", **environment)
    assert "words.txt: GIMP cannot read it" in done.stdout
    assert sorted(path.name for path in (pictures / "out").iterdir()) == ["one.png", "two.png"], done.stdout + done.stderr
    for name in ("one.png", "two.png"):
        blended(pictures / "in" / name, pictures / "out" / name)


def test_script_fu(gimp, daemon, pictures):
    text = (PROJECT / "docs/scripting.md").read_text()
    script = re.search(r"```scheme\n(.*?)```", text, re.DOTALL)[1]
    for name, path in {"picture.png": "in/one.png", "object.png": "object.png", "blended.png": "blended.png"}.items():
        script = script.replace(f'"{name}"', f'"{pictures / path}"')
    (pictures / "blend.scm").write_text(script)
    done = gimp.run(pictures / "blend.scm", interpreter="plug-in-script-fu-eval")
    assert (pictures / "blended.png").exists(), done.stdout + done.stderr
    blended(pictures / "in/one.png", pictures / "blended.png")
