"""One method on one case in a process of its own, so that time and memory are its own and no failure takes others along.

`measure` starts the process and hears its answer; run as a module, this is the process.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from blend_daemon.comparison.cases import Case
from blend_daemon.unforeseen import is_of_memory, unforeseen
from blend_protocol.errors import BlendError


@dataclass(frozen=True)
class Trial:
    """A method on a case: what it gave, or why it gave nothing.

    Attributes
    ----------
    case, method : names
    figures : by the names in `scores.FIGURES`
    seconds : of the blend, from decoded pictures to the layer, without the start of the process and the loading of the network
    peak_mb : the process's largest memory
    failure : the reason in a sentence; "" where there is a result
    """

    case: str
    method: str
    figures: dict[str, float] = field(default_factory=dict)
    seconds: float = float("nan")
    peak_mb: float = float("nan")
    failure: str = ""


class Measurer:
    """Runs trials, in several threads if wanted, and can stop them all."""

    def __init__(self, parameters: dict[str, Any], threads: int) -> None:
        """`parameters` are those of a blend but for its method; each process computes in `threads` threads."""
        self._parameters = parameters
        self._environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
        self._running: set[subprocess.Popen] = set()
        self._stopped = False
        self._lock = threading.Lock()  # between beginning a process and stopping them all

    def measure(self, case: Case, method: str, output: Path) -> Trial:
        """Blend, write the result to `output`, and score it."""
        if case.fault:
            return Trial(case.name, method, failure=case.fault)
        order = {
            "folder": str(case.folder), "offset": case.offset, "output": str(output), "parameters": {**self._parameters, "method": method},
        }  # fmt: skip
        with self._lock:
            if self._stopped:
                return Trial(case.name, method, failure="It was not begun.")
            # A session of its own: Ctrl+C on the terminal is for this process alone, which then ends the others.
            process = subprocess.Popen(
                [sys.executable, "-m", __name__, json.dumps(order)],
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=self._environment, start_new_session=True,
            )  # fmt: skip
            self._running.add(process)
        said, complaint = process.communicate()
        self._running.discard(process)
        if process.returncode == 0:
            return Trial(case.name, method, **json.loads(said))
        return Trial(case.name, method, failure=_reason(process.returncode, complaint))

    def stop(self) -> None:
        """End what runs, and begin nothing more."""
        with self._lock:
            self._stopped = True
            for process in list(self._running):
                process.kill()


def _reason(code: int, complaint: str) -> str:
    if code < 0:
        by = signal.Signals(-code).name
        return "Its process was killed, most likely because memory ran out." if by == "SIGKILL" else f"Its process died of {by}."
    lines = complaint.strip().splitlines()
    return lines[-1] if lines else f"Its process ended with exit code {code}."


def _peak_mb() -> float:
    """The process's largest memory, 0 where the system does not tell."""
    # Linux's own figure first: getrusage's is no less than the parent's was when it started this one.
    try:
        status = Path("/proc/self/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) / 1024
    except (OSError, IndexError):
        pass
    try:
        import resource
    except ImportError:  # Windows
        return 0.0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024**2 if sys.platform == "darwin" else 1024)


def _trial(order: dict[str, Any]) -> dict[str, Any]:
    from blend_daemon import files, images, scores
    from blend_daemon.comparison.pictures import aligned, bytes_of
    from blend_daemon.engine import Parameters, blend, composite

    scene = Case(Path(order["folder"]), tuple(order["offset"])).read()
    problem, target = scene.problem, scene.target
    began = time.monotonic()
    result = blend(problem, Parameters.from_mapping(order["parameters"]))
    seconds = time.monotonic() - began - result.report["seconds"].get("load", 0)
    peak = _peak_mb()
    blended = composite(target.raster, result.layer, result.box)
    output = Path(order["output"])
    height, width, channels = target.raster.shape
    images.check_format(output, target.raster.dtype, channels, width, height)
    files.write({output: images.encoded(output, blended, target)})
    view = aligned(problem)
    figures = scores.score(bytes_of(blended), view.target, view.source, view.mask)
    return {"figures": figures, "seconds": round(seconds, 4), "peak_mb": round(peak, 1)}


def main() -> int:
    try:
        print(json.dumps(_trial(json.loads(sys.argv[1]))))
    except BlendError as error:
        print(f"{error} {error.hint}".strip(), file=sys.stderr)
        return 2
    except Exception as error:
        if is_of_memory(error):
            print("Memory ran out.", file=sys.stderr)
            return 2
        print(f"It met {unforeseen(error)}", file=sys.stderr)
        return 70
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
