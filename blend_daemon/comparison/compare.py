"""All chosen methods on all cases: a picture of each, a table, a contact sheet and a report."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import pyvips

from blend_daemon import images
from blend_daemon.comparison import files, report, sheet
from blend_daemon.comparison.cases import Case
from blend_daemon.comparison.measure import Measurer, Trial
from blend_daemon.comparison.pictures import Bytes, View, aligned, bytes_of
from blend_daemon.unforeseen import unforeseen
from blend_protocol.errors import BlendError

SHEET, REPORT = "sheet.png", "report.html"


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def compare(
    cases: Sequence[Case], methods: Sequence[str], parameters: dict[str, Any], output: Path, jobs: int,
    done: Callable[[Trial], None], note: Callable[[str], None],
) -> list[Trial]:  # fmt: skip
    """Run the methods, `jobs` at a time, and write everything into the folder `output`. After Ctrl+C, what was finished.

    Parameters
    ----------
    done : told of each trial as it ends
    note : told how a case's files were understood

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
    _write(cases, ordered, settings, output, note)
    if interrupted:
        raise KeyboardInterrupt
    return ordered


def picture(output: Path, case: str, method: str) -> Path:
    """Where a comparison keeps a result."""
    return output / case / f"{method.replace(':', '-').replace('/', '-')}.png"


def _write(cases: Sequence[Case], trials: Sequence[Trial], settings: dict[str, str], output: Path, note: Callable[[str], None]) -> None:
    files.write_table(output, trials)
    rows, shown = [], []
    for case in cases:
        own = [trial for trial in trials if trial.case == case.name]
        if not own:
            continue
        try:
            view, results = _shown(case, own, output, note)
            row = sheet.row(case.name, view, own, results)
            data = report.case_data(case.name, view, own, results)
        except BlendError:  # told by each of its trials
            shown.append(report.case_data(case.name, None, own, {}))
        except Exception as error:  # no case keeps the others from being shown
            print(f"blend-daemon: {case.name} could not be shown, for {unforeseen(error)}", file=sys.stderr)
            shown.append(report.case_data(case.name, None, own, {}))
        else:
            rows.append(row)
            shown.append(data)
    if rows:
        whole = pyvips.Image.new_from_array(sheet.sheet(rows), interpretation="srgb")
        files.write_bytes(output / SHEET, whole.write_to_buffer(".png"))
    files.write_text(output / REPORT, report.page(shown, settings))


def _shown(case: Case, trials: Sequence[Trial], output: Path, note: Callable[[str], None]) -> tuple[View, dict[str, Bytes]]:
    """The case and its results as the sheet and the report show them. Raises BlendError where the case cannot be read."""
    if case.fault:
        raise BlendError("case-faulty", case.fault)
    scene = case.read()
    for told in scene.notes:
        note(f"{case.name}: {told}")
    view = aligned(scene.problem)
    done = [trial.method for trial in trials if not trial.failure]
    return view, {method: bytes_of(images.read(picture(output, case.name, method), "result").raster) for method in done}
