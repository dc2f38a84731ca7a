"""All chosen methods on all cases: a picture of each, a table, a contact sheet and a report."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import pyvips

from blend_daemon import images
from blend_daemon.comparison import files, report, sheet
from blend_daemon.comparison.cases import Case
from blend_daemon.comparison.measure import Measurer, Trial
from blend_daemon.comparison.pictures import aligned, bytes_of
from blend_daemon.errors import BlendError

SHEET, REPORT = "sheet.png", "report.html"


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def compare(
    cases: Sequence[Case], methods: Sequence[str], parameters: dict[str, Any], output: Path, jobs: int, done: Callable[[Trial], None]
) -> list[Trial]:
    """Run the methods, `jobs` at a time, and write everything into the folder `output`. After Ctrl+C, what was finished.

    Raises
    ------
    KeyboardInterrupt
        after everything finished has been written
    BlendError
        `output-unwritable`
    """
    trials: dict[tuple[str, str], Trial] = {}
    measurer = Measurer(parameters, max(cores() // jobs, 1))
    interrupted = False
    for case in cases:
        (output / case.name).mkdir(exist_ok=True)
    with ThreadPoolExecutor(jobs) as pool:
        try:
            runs = [pool.submit(measurer.measure, case, method, picture(output, case.name, method)) for case in cases for method in methods]
            for run in as_completed(runs):
                trial = run.result()
                trials[trial.case, trial.method] = trial
                done(trial)
        except KeyboardInterrupt:
            interrupted = True
            measurer.stop()
    ordered = [trials[case.name, method] for case in cases for method in methods if (case.name, method) in trials]
    settings = {
        **{name.replace("_", " "): str(value) for name, value in parameters.items()},
        "at a time": f"{jobs}, in {max(cores() // jobs, 1)} threads each",
        "machine": f"{cores()} cores, {platform.machine()}, {platform.system()}",
    }
    _write(cases, ordered, settings, output)
    if interrupted:
        raise KeyboardInterrupt
    return ordered


def picture(output: Path, case: str, method: str) -> Path:
    """Where a comparison keeps a result."""
    return output / case / f"{method.replace(':', '-').replace('/', '-')}.png"


def _write(cases: Sequence[Case], trials: Sequence[Trial], settings: dict[str, str], output: Path) -> None:
    files.write_table(output, trials)
    rows, shown = [], []
    for case in cases:
        own = [trial for trial in trials if trial.case == case.name]
        if not own:
            continue
        try:
            view = aligned(case.read()[0])
        except BlendError:  # told by each of its trials
            shown.append(report.case_data(case.name, None, own, {}))
            continue
        results = {
            trial.method: bytes_of(images.read(picture(output, case.name, trial.method), "result").raster)
            for trial in own if not trial.failure
        }  # fmt: skip
        rows.append(sheet.row(case.name, view, own, results))
        shown.append(report.case_data(case.name, view, own, results))
    if rows:
        whole = pyvips.Image.new_from_array(sheet.sheet(rows), interpretation="srgb")
        files.write_bytes(output / SHEET, whole.write_to_buffer(".png"))
    files.write_text(output / REPORT, report.page(shown, settings))
