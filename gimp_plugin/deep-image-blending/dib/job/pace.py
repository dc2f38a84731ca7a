"""How long a blend takes on this machine, learned from those that were made, so that it can be said before."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import Any

from blend_protocol import runtime
from blend_protocol.presets import Parameters
from dib import options
from dib.i18n import _

FILE = "pace.json"
RECENT = 9  # blends that are looked back on
LONG = 60.0  # s from which something quicker is named
QUICK = "draft"
BEGINNING = 2.0  # of a scale, in evaluations at the full one
SCALES = (1 / 16, 1 / 4, 1 / 2)  # what an evaluation costs at each


class Pace:
    """Remembers, for each daemon, device and method, what a unit of work took. Whatever is wrong with the file, it begins anew."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path or runtime.state_dir() / FILE

    def learn(self, address: str | None, parameters: Mapping[str, Any], pixels: int, report: Mapping[str, Any]) -> None:
        """A blend of an object with its surroundings, of so many pixels, is done.

        One that was stopped, or that had nothing to paint, says nothing of the others.
        """
        work = _work(parameters, pixels)
        seconds = report.get("seconds", {}).get("blend")
        if not work or not seconds or report.get("evaluations") != _evaluations(parameters):
            return
        paces = self._read()
        key = _key(address, parameters)
        paces[key] = [*paces.pop(key, []), seconds / work][-RECENT:]
        part = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        with suppress(OSError):
            part.write_text(json.dumps(paces), "utf-8")
            part.replace(self._path)

    def expect(self, address: str | None, parameters: Mapping[str, Any], pixels: int) -> float | None:
        """Seconds that such a blend takes, None if there has been none like it."""
        known = self._read().get(_key(address, parameters))
        work = _work(parameters, pixels)
        return median(known) * work if known and work else None

    def _read(self) -> dict[str, list[float]]:
        with suppress(OSError, ValueError, AttributeError, TypeError):
            found = json.loads(self._path.read_text("utf-8"))
            return {key: [float(pace) for pace in paces] for key, paces in found.items()}
        return {}


def forecast(pace: Pace, address: str | None, parameters: Mapping[str, Any], sizes: Sequence[int]) -> str:
    """What to say of the time before a blend of objects of these many pixels: how long, and if that is long what is quicker; "" if nothing
    is known."""
    seconds = _altogether(pace, address, parameters, sizes)
    if seconds is None:
        return ""
    text = _("about {time}").format(time=spelled(seconds))
    quick = _altogether(pace, address, {**parameters, "preset": QUICK, "iterations": 0}, sizes)
    if seconds >= LONG and quick is not None and quick < seconds / 2:
        text = _("{text}; as a Draft {time}").format(text=text, time=spelled(quick))
    return text


def _altogether(pace: Pace, address: str | None, parameters: Mapping[str, Any], sizes: Sequence[int]) -> float | None:
    times = [pace.expect(address, parameters, pixels) for pixels in sizes]
    return None if None in times else sum(times)


def spelled(seconds: float) -> str:
    """A time in the unit that tells it best."""
    if seconds < 100:
        return _("{seconds} s").format(seconds=max(round(seconds), 1))
    return _("{minutes} min").format(minutes=round(seconds / 60))


def _key(address: str | None, parameters: Mapping[str, Any]) -> str:
    return " ".join([address or "", parameters.get("device", "auto"), parameters["method"]])


def _planned(parameters: Mapping[str, Any]) -> Parameters:
    known = {name: parameters[name] for name in ("method", "preset", "working_size", "iterations") if name in parameters}
    return Parameters.from_mapping(known)


def _evaluations(parameters: Mapping[str, Any]) -> int:
    return sum(_planned(parameters).plan().evaluations)


def _work(parameters: Mapping[str, Any], pixels: int) -> float:
    """How much there is to be done, in no unit; 0 for a method that is quick anyway, or that nobody can tell of."""
    if "iterations" not in options.uses(parameters["method"]):
        return 0.0
    preset = _planned(parameters).plan()
    counts = preset.evaluations
    costs = SCALES if len(counts) == len(SCALES) else [1.0] * len(counts)
    whole = sum(cost * count + BEGINNING for cost, count in zip(costs, counts, strict=True) if count)
    return whole * min(pixels, preset.working_pixels)
