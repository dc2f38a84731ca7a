"""The report: one HTML file with everything in it, which fetches nothing."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

import numpy as np
import pyvips

from blend_daemon.comparison.measure import Trial
from blend_daemon.comparison.pictures import Bytes, View, crop, insets
from blend_daemon.scores import FIGURES, HIGHER_IS_BETTER
from blend_protocol.methods import find

LONGEST = 1600  # px: a larger picture is shown smaller; the files beside the report have every pixel


def case_data(case: str, view: View | None, trials: Sequence[Trial], results: Mapping[str, Bytes]) -> dict[str, Any]:
    """One case as the report's page has it; without a view, where its pictures cannot be read, its trials alone."""
    told = {"name": case, "trials": [_row(trial) for trial in trials]}
    if view is None:
        return told
    shown = {"target": view.target, **({} if "copy-paste" in results else {"pasted": view.pasted}), **results}
    return {
        **told,
        "width": view.target.shape[1],
        "height": view.target.shape[0],
        "pictures": {name: _embedded(picture) for name, picture in shown.items()},
        "insets": [
            {"box": box, "pictures": {name: _embedded(crop(picture, box), ".png") for name, picture in shown.items() if name != "target"}}
            for box in insets(view)
        ],
    }


def page(cases: Sequence[dict[str, Any]], settings: Mapping[str, str]) -> str:
    """The report's HTML. `settings` are shown as they are."""
    figures = [{"name": name, "about": about, "higher": name in HIGHER_IS_BETTER} for name, about in FIGURES.items()]
    names = dict.fromkeys(trial["method"] for case in cases for trial in case["trials"])
    methods = {name: {"label": method.label, "about": method.about} for name in names if (method := find(name))}
    return filled("report.html", {"cases": cases, "settings": settings, "figures": figures, "methods": methods})


def filled(template: str, data: Any) -> str:
    """A page of this package with the common style and its data put in."""
    here = files("blend_daemon.comparison")
    # "</" would end the script that holds the data, and "<!--" open a comment in it.
    text = json.dumps(data, ensure_ascii=False, allow_nan=False).replace("<", "\\u003c")
    page = here.joinpath(template).read_text(encoding="utf-8")
    return page.replace("/*STYLE*/", here.joinpath("page.css").read_text(encoding="utf-8")).replace("/*DATA*/", text)


def _row(trial: Trial) -> dict[str, Any]:
    numbers = {**trial.figures, "seconds": trial.seconds, "peak_mb": trial.peak_mb}
    return {
        "method": trial.method,
        "failure": trial.failure,
        **{name: number if math.isfinite(number) else None for name, number in numbers.items()},
    }


def _embedded(picture: Bytes, suffix: str = ".webp") -> str:
    image = pyvips.Image.new_from_array(np.ascontiguousarray(picture), interpretation="srgb")
    if suffix == ".webp":
        longest = max(image.width, image.height)
        image = image.resize(LONGEST / longest) if longest > LONGEST else image
        data = image.write_to_buffer(".webp", Q=94, smart_subsample=True)
    else:
        data = image.write_to_buffer(suffix)
    return f"data:image/{suffix[1:]};base64,{base64.b64encode(data).decode()}"
