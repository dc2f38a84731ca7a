"""The files of a comparison: its folder, its table, and text that appears whole or not at all."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from pathlib import Path

from blend_daemon import files
from blend_daemon.comparison.measure import Trial
from blend_daemon.scores import FIGURES
from blend_protocol.errors import BlendError

TABLE = "results.csv"
COLUMNS = ("case", "method", *FIGURES, "seconds", "peak_mb", "failure")


def prepare_folder(folder: Path, force: bool) -> None:
    """Make a folder to write into. Raises BlendError `output-exists` where it holds something and is not forced, `output-unwritable`."""
    try:
        if folder.exists() and not folder.is_dir():
            raise BlendError("output-exists", f"{folder} is a file, not a folder.", "Name a new folder.")
        if folder.is_dir() and any(folder.iterdir()) and not force:
            raise BlendError("output-exists", f"{folder} is not empty.", "Name a new folder, or overwrite what is in it with --force.")
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise PermissionError(13, "Permission denied")
    except OSError as error:
        raise BlendError("output-unwritable", f"{folder} cannot be written: {error.strerror}.", "Choose another place.") from error


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file whole or not at all. Raises BlendError `output-unwritable`."""
    files.write({path: data})


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text whole or not at all; names that are not UTF-8 as they are. Raises BlendError `output-unwritable`."""
    write_bytes(path, text.encode(errors="surrogateescape"))


def write_table(folder: Path, trials: Sequence[Trial]) -> None:
    """The trials as CSV, empty where there is no figure."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    for trial in trials:
        numbers = [trial.figures.get(name, float("nan")) for name in FIGURES]
        numbers += [trial.seconds, trial.peak_mb]
        table.writerow([trial.case, trial.method, *("" if number != number else f"{number:.6g}" for number in numbers), trial.failure])
    write_text(folder / TABLE, text.getvalue())


def read_table(folder: Path) -> list[Trial]:
    """The trials of a comparison's folder. Raises BlendError `comparison-missing`."""
    try:
        with (folder / TABLE).open(newline="", encoding="utf-8", errors="surrogateescape") as file:
            rows = list(csv.DictReader(file))
        number = lambda text: float(text or "nan")
        return [
            Trial(
                row["case"], row["method"], {name: number(row[name]) for name in FIGURES}, number(row["seconds"]),
                number(row["peak_mb"]), row["failure"],
            )
            for row in rows
        ]  # fmt: skip
    except (OSError, KeyError, ValueError) as error:
        raise BlendError(
            "comparison-missing",
            f"{folder} is not the folder of a comparison: it has no sound {TABLE}.",
            "Run `blend-daemon compare` first.",
        ) from error
