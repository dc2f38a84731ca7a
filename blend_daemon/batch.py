"""Many blends in one run: a table of cases, and their way through a daemon of the run's own with as many workers as are wanted.

A case is done when its file is there, since files appear whole; so a run that was cut off is simply begun again.
"""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blend_daemon import COMMAND
from blend_protocol.errors import BlendError
from blend_protocol.presets import Parameters

if TYPE_CHECKING:
    from blend_daemon.images import Scene
    from blend_protocol.client import Client, Message

OWN = ("source", "mask", "target", "offset", "name")  # columns that are no parameters
TELL = 5.0  # s between two words about how far it is
AHEAD = 1  # cases that are read while the workers compute


@dataclass(frozen=True)
class Case:
    """One blend.

    Attributes
    ----------
    name : of its output, without folder; PNG where it has no ending
    """

    name: str
    source: Path
    mask: Path | None
    target: Path
    offset: tuple[int, int]
    parameters: Mapping[str, Any]

    def output(self, folder: Path) -> Path:
        return folder / (self.name if Path(self.name).suffix else f"{self.name}.png")


def find(path: Path) -> list[Case]:
    """The cases of a table or of a folder. Raises BlendError `manifest-table` with row and column, or `case-*`."""
    if not path.is_dir():
        return _table(path)
    from blend_daemon.comparison import cases

    found = cases.find([path])
    if faulty := [case.fault for case in found if case.fault]:
        raise BlendError("case-faulty", faulty[0])
    source, mask, target = cases.PICTURES
    return [Case(c.name, c.folder / source, c.folder / mask, c.folder / target, c.offset, {}) for c in found]


def _table(path: Path) -> list[Case]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file, strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise BlendError("manifest-table", f"{path} cannot be read: {why}.", "Give a CSV file in UTF-8, or a folder of cases.") from error
    if not rows:
        raise BlendError("manifest-table", f"{path} holds no case.", "Below the line of the columns' names there is one line for each.")
    parameters = {field.name: type(getattr(Parameters(), field.name)) for field in fields(Parameters)}
    for column in rows[0]:
        if column not in (*OWN, *parameters):
            known = ", ".join((*OWN, *parameters))
            raise BlendError("manifest-table", f"{path}, row 1: there is no column {column!r}.", f"Known are {known}.")
    cases = [_case(path, number, row, parameters) for number, row in enumerate(rows, start=2)]
    rows_of: dict[str, int] = {}
    for number, case in enumerate(cases, start=2):
        if (other := rows_of.setdefault(str(case.output(Path())).casefold(), number)) != number:
            raise _wrong(path, number, "name", f"its output has the name of row {other}'s", "Name each case anew.")
    return cases


def _case(table: Path, number: int, row: Mapping[str, str | None], parameters: Mapping[str, type]) -> Case:
    if None in row or None in row.values():
        raise BlendError("manifest-table", f"{table}, row {number}: it has not as many values as there are columns.", "Quote commas.")
    values = {column: (text or "").strip() for column, text in row.items()}
    files: dict[str, Path | None] = {}
    for column in ("source", "mask", "target"):
        text = values.get(column, "")
        files[column] = table.parent / text if text else None
        if not text and column != "mask":
            raise _wrong(table, number, column, "it is empty", "Name a file.")
        if text and not (table.parent / text).is_file():
            raise _wrong(table, number, column, f"there is no file {text}", "Paths count from the table's folder.")
    try:
        x, y = (int(part) for part in (values.get("offset") or "0,0").split(","))
    except ValueError:
        raise _wrong(table, number, "offset", "it is not two whole numbers", 'Write it as "X,Y", in quotes.') from None
    given: dict[str, Any] = {}
    for column, kind in parameters.items():
        if not values.get(column):
            continue
        try:
            given[column] = kind(values[column])
            Parameters.from_mapping({column: given[column]})
        except ValueError:
            raise _wrong(table, number, column, f"{values[column]!r} is no number", "") from None
        except BlendError as error:
            raise _wrong(table, number, column, str(error).rstrip(".")[:1].lower() + str(error).rstrip(".")[1:], error.hint) from error
    name = values.get("name") or f"{number - 1:06d}"
    if Path(name).name != name or name.startswith("."):
        raise _wrong(table, number, "name", f"{name!r} is no name for a file", "Leave folders away.")
    source, target = files["source"], files["target"]
    assert source
    assert target
    return Case(name, source, files["mask"], target, (x, y), given)


def _wrong(table: Path, row: int, column: str, what: str, hint: str) -> BlendError:
    return BlendError("manifest-table", f"{table}, row {row}, column {column}: {what}.", hint)


def blend(cases: Sequence[Case], folder: Path, jobs: int, quiet: bool, engine: Sequence[str] = ()) -> int:
    """Blend what is not done yet, with workers where `serve`'s words about its engine say. Returns how many failed. Raises BlendError if
    it cannot go on at all."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BlendError("output-unwritable", f"The folder {folder} cannot be made: {error.strerror}.", "Choose another.") from error
    todo = [case for case in cases if not case.output(folder).is_file()]
    tally = _Tally(folder / "failures.csv", len(cases), len(cases) - len(todo), quiet)
    with tally:
        if todo:
            with _daemon(jobs, engine) as client:
                _all(client, iter(todo), folder, jobs, tally)
    return tally.failed


def _all(client: Client, todo: Iterator[Case], folder: Path, jobs: int, tally: _Tally) -> None:
    from blend_protocol.client import failure

    under_way: dict[str, tuple[Case, Scene]] = {}
    more, room = True, jobs + AHEAD
    while more or under_way:
        while more and len(under_way) < room:
            case = next(todo, None)
            if case is None:
                more = False
            elif begun := _attempt(case, tally, lambda case=case: _submit(client, case, folder)):
                under_way[begun[0]] = case, begun[1]
        client.wait(0.5)
        for message in client.pump():
            if message.type not in ("result", "failed", "cancelled") or message.header.get("job") not in under_way:
                continue
            job = message.header["job"]
            case, scene = under_way.pop(job)
            if message.type == "result":
                room = jobs + AHEAD
                if _attempt(case, tally, lambda: _write(case.output(folder), scene, message)):  # noqa: B023 - called at once
                    tally.done()
                client.release(job)
                continue
            error = failure(message) if message.type == "failed" else BlendError("cancelled", "The blend was cancelled.", "Run it again.")
            if error.code == "queue-full" and under_way:
                # While workers load, or where pictures are large, fewer wait than there are workers: it is sent again when one has ended.
                todo, more, room = chain([case], todo), True, len(under_way)
            else:
                tally.fail(case, error)
        tally.tell()


def _attempt(case: Case, tally: _Tally, act: Any) -> Any:
    """What `act` returns; None if it failed, which is noted."""
    try:
        return act()
    except BlendError as error:
        tally.fail(case, error)
    return None


def _submit(client: Client, case: Case, folder: Path) -> tuple[str, Scene]:
    from blend_daemon import files, images
    from blend_daemon.commands.blend import submit

    scene = images.read_scene(case.source, case.mask, case.target, case.offset)
    height, width, channels = scene.target.raster.shape
    output = case.output(folder)
    files.check_writable(output)
    images.check_format(output, scene.target.raster.dtype, channels, width, height)
    parameters = Parameters.from_mapping(case.parameters)
    return submit(client, scene.problem.cut(parameters), scene.mask, parameters), scene


def _write(output: Path, scene: Scene, message: Message) -> bool:
    from blend_daemon import files, images
    from blend_daemon.commands.blend import array
    from blend_daemon.engine import composite

    whole = composite(scene.target.raster, array(message.rasters["layer"]), tuple(message.header["box"]))
    files.write({output: images.encoded(output, whole, scene.target)})
    return True


@contextmanager
def _daemon(workers: int, engine: Sequence[str]) -> Iterator[Client]:
    """A client of a daemon of its own, which ends with this process: nobody else waits for these jobs, nor do they for others'."""
    from blend_protocol import processes, runtime
    from blend_protocol.client import Client

    with tempfile.TemporaryDirectory(prefix="dib-batch-") as work:
        own = {"BLEND_DAEMON_RUNTIME_DIR": f"{work}/run", "BLEND_DAEMON_STATE_DIR": f"{work}/state"}
        kept = {"BLEND_DAEMON_WEIGHTS_DIR": str(runtime.weights_dir()), "BLEND_DAEMON_MODELS_DIR": str(runtime.models_dir())}
        environment = {**processes.environment(), **kept, **own}
        words = [*COMMAND, "serve", "--workers", str(workers), "--idle-exit", "1", *engine]  # for a run that is killed
        errors = Path(work, "errors")
        with errors.open("wb") as file:
            daemon = subprocess.Popen(words, env=environment, start_new_session=True, stdout=subprocess.DEVNULL, stderr=file)
        before = {name: os.environ.get(name) for name in own}
        os.environ.update(own)
        try:
            with Client(command=COMMAND) as client:
                while not runtime.socket_path().exists() and daemon.poll() is None:
                    time.sleep(0.05)
                if daemon.poll() is not None:
                    last = errors.read_text(errors="replace").strip().splitlines()[-1:] or ["It said nothing."]
                    raise BlendError("daemon-ended", f"The run's daemon did not start: {last[0].removeprefix('blend-daemon: ')}")
                for _ in client.reach():
                    client.wait(0.05)
                yield client
        finally:
            for name, value in before.items():
                os.environ.pop(name) if value is None else os.environ.update({name: value})
            daemon.terminate()
            daemon.wait()


class _Tally:
    """How far it is, and what failed.

    Parameters
    ----------
    failures : the file of what failed; of an earlier run nothing is left in it, because that is tried again
    count, before : cases in all, and done before
    """

    def __init__(self, failures: Path, count: int, before: int, quiet: bool) -> None:
        self._path, self._count, self._before, self._quiet = failures, count, before, quiet
        self._done = self.failed = 0
        self._began = self._told = time.monotonic()
        failures.unlink(missing_ok=True)

    def __enter__(self) -> _Tally:
        return self

    def __exit__(self, *_: object) -> None:
        self._say()

    def done(self) -> None:
        self._done += 1

    def fail(self, case: Case, error: BlendError) -> None:
        new = not self.failed
        self.failed += 1
        with self._path.open("a", encoding="utf-8", newline="") as file:
            lines = csv.writer(file)
            if new:
                lines.writerow(("name", "code", "message", "hint"))
            lines.writerow((case.name, error.code, str(error), error.hint))

    def tell(self) -> None:
        """A word now and then."""
        if time.monotonic() - self._told > TELL:
            self._say()

    def _say(self) -> None:
        self._told = time.monotonic()
        ended = self._done + self.failed
        left = self._count - self._before - ended
        text = f"{self._before + self._done} of {self._count} done, {self.failed} failed"
        if left and ended:
            text += f", about {(self._told - self._began) / ended * left / 60:.0f} min left"
        if not self._quiet:
            print(f"blend-daemon: {text}.", file=sys.stderr)
