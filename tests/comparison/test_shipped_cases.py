"""The cases in examples/cases are whole, small, made by their tool, and of named licence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from blend_daemon import images
from blend_daemon.comparison import cases

make_cases = pytest.importorskip("make_cases", reason="scikit-image is not installed")
EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
SHIPPED = cases.find([EXAMPLES / "cases"])


def test_five_paintings_and_five_photographs_in_little_space():
    assert {case.name for case in SHIPPED} == set(make_cases.RECIPES)
    assert [sum(case.name.startswith(kind) for case in SHIPPED) for kind in ("painting-", "photo-")] == [5, 5]
    assert sum(path.stat().st_size for path in EXAMPLES.joinpath("cases").rglob("*") if path.is_file()) < 1_500_000


@pytest.mark.parametrize("case", SHIPPED, ids=lambda case: case.name)
def test_a_case_is_whole(case):
    problem, _, target, _ = case.read()
    assert target.raster.shape == (224, 224, 3)
    x, y, width, height = problem.box
    assert min(x, y, 224 - x - width, 224 - y - height) >= 4, "the object lies on the canvas, away from its edge"
    mask = images.read(case.folder / "mask.png", "mask").raster
    assert set(np.unique(mask)) == {0, 255}
    assert 0.03 < (problem.mask_on((0, 0, 224, 224)) > 0.5).mean() < 0.4


@pytest.mark.parametrize("name", ["painting-shuttle", "photo-coin"])
def test_the_tool_makes_what_is_shipped(name, tmp_path):
    """But for a few pixels: another version of the libraries may round otherwise, and a patch be flattened the other way."""
    make_cases.make(name, tmp_path)
    for file in cases.PICTURES:
        made, shipped = (images.read(folder / name / file, "source").raster.astype(int) for folder in (tmp_path, EXAMPLES / "cases"))
        assert (np.abs(made - shipped) <= 1).mean() > 0.99
    assert (tmp_path / name / "offset").read_text() == (EXAMPLES / "cases" / name / "offset").read_text()


def test_every_picture_has_a_licence_in_the_readme():
    lines = (EXAMPLES / "README.md").read_text().splitlines()
    rows = {cells[1].strip(): cells for line in lines if len(cells := line.split("|")) == 5}
    for name, recipe in make_cases.RECIPES.items():
        _, _, source, target, _ = rows[f"cases/{name}"]
        for told, photo in ((source, recipe.source.photo), (target, recipe.target.photo)):
            assert told.split(",")[0].strip() == photo
            assert any(word in rows[photo][3] for word in ("CC0", "public domain", "no known copyright restrictions"))
