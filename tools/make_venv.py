"""Makes, refreshes, checks and removes the private Python environment that blend-daemon runs in.

    python tools/make_venv.py DIR                the program; does nothing when nothing has changed
    python tools/make_venv.py DIR --weights      the program, and the network's weights
    python tools/make_venv.py DIR test           the program editable, with what its tests need
    python tools/make_venv.py DIR --anew         the program, installed anew; what was there comes back if that fails
    python tools/make_venv.py DIR --state        says in JSON what is there and what it takes
    python tools/make_venv.py DIR --remove

The program comes from this checkout or, where this file lies in the plug-in's folder, from the wheel beside it. An environment is whole if
its file `stamp` is there, which is written last. One that is begun afresh and not finished goes again.

It is made with the first Python on the PATH that can, or with that at the path in BLEND_DAEMON_PYTHON.
Standard library only, since it runs in whatever Python there is. With --events it tells what it does as JSON, one object a line:
{"step", "text", and "bytes" if it takes gigabytes}, {"fraction"} of the whole, {"line"} of pip's, and in the end {"done"} or {"failed",
"message", "hint"}.
Exit code 3: Python's own module venv is missing. 4: only a large build of PyTorch can be had, which --refuse-large refuses.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

from pythons import find_python
from telling import Failed, Teller, disk_full, gigabytes

HERE = Path(__file__).resolve().parent
FILES = ("make_venv.py", "pythons.py", "telling.py")  # what the plug-in's folder needs to do this
PACKAGES = ("blend_daemon", "blend_protocol")
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
SMALL, LARGE = 1_500_000_000, 6_500_000_000  # bytes on disk: with PyTorch's build for processors, with the one for NVIDIA cards
LARGE_TORCH = 5_700_000_000  # of that PyTorch with its libraries
SPARE = 20_000_000  # bytes; where less is free after a failure, that was why
CODES = {"venv-missing": 3, "torch-large": 4}
UNTOUCHED = {"no-network", "torch-large"}  # codes of failures that leave an older environment as it was: pip fetches first
NETWORK = re.compile(
    "NewConnectionError|ConnectTimeout|ReadTimeout|NameResolutionError|ProxyError|Temporary failure in name|Network is unreachable"
    "|ConnectionResetError|IncompleteRead|urlopen error"
)


class Environment:
    """The environment in a folder.

    Parameters
    ----------
    extra : "test", or "" for the program alone
    """

    def __init__(self, folder: Path, extra: str, tell: Teller) -> None:
        self._folder, self._extra, self._tell = folder, extra, tell
        scripts, suffix = ("Scripts", ".exe") if os.name == "nt" else ("bin", "")
        self._python, self._command = folder / scripts / f"python{suffix}", folder / scripts / f"blend-daemon{suffix}"
        self._stamp = folder / "stamp"
        wheels = sorted(HERE.glob("blend_daemon-*.whl"))
        self._wheel = wheels[-1] if wheels else None
        self._project = HERE.parent
        self._lock = (HERE if self._wheel else self._project) / "requirements.lock"

    def state(self) -> str:
        """ "missing"; "unfinished", something that is no whole environment; "other", one of another version; "whole"."""
        if not self._folder.exists():
            return "missing"
        # A Flatpak sees the environment, but not the Python outside that its link leads to.
        there = self._python.is_symlink() if "FLATPAK_ID" in os.environ else self._python.exists()
        if not self._stamp.is_file() or not there:
            return "unfinished"
        return "whole" if self._stamp.read_text("utf-8") == self._sum() else "other"

    def stop(self) -> None:
        """End a daemon that runs: an old one must not answer a new plug-in."""
        if not self._extra and self._command.exists():
            self._quietly([self._command, "stop"])

    def make(self, refuse_large: bool) -> None:
        """Have it there, whole. Raises Failed."""
        if self.state() == "whole":
            return
        before = self._stamp.read_text("utf-8") if self.state() == "other" else None
        self._stamp.unlink(missing_ok=True)
        try:
            self._tell.step("python", "Making a private Python environment.")
            self._begin()
            self._tell.step("pip", "Bringing pip up to date.")
            self._pip("--upgrade", "pip")
            if self._quietly([self._python, "-c", "import torch"]):
                self._torch(refuse_large)
            self._tell.step("program", "Installing the program.")
            self._program()
            if self._quietly([self._command, "--help"]):
                raise Failed("install-failed", f"{self._command} was installed and does not run.", "Remove it and install it again.")
            shutil.rmtree(self._folder / "tmp", ignore_errors=True)
            self._stamp.write_text(self._sum(), "utf-8")
        except BaseException as error:
            shutil.rmtree(self._folder / "tmp", ignore_errors=True)
            if before is None:
                shutil.rmtree(self._folder, ignore_errors=True)
            elif getattr(error, "code", "") in UNTOUCHED:
                self._stamp.write_text(before, "utf-8")
            raise

    def weights(self) -> None:
        """Have the network's weights there."""
        self._tell.step("weights", "Fetching the network's weights, about 50 MB.")
        self._run([self._command, "weights"], "weights-unreachable")

    def remove(self) -> None:
        """Take the environment away."""
        self._stamp.unlink(missing_ok=True)
        for folder in (self._folder, self._folder.with_name(f"{self._folder.name}.old")):
            if folder.exists():
                shutil.rmtree(folder)

    def _begin(self) -> None:
        if self._python.exists() and not self._quietly([self._python, "-c", "import pip"]):
            return
        if self._folder.exists():  # its Python has gone, or it was left half-made
            shutil.rmtree(self._folder)
        self._folder.parent.mkdir(parents=True, exist_ok=True)
        self._check_room(LARGE if large() else SMALL)
        self._run([find_python(), "-m", "venv", self._folder])

    def _check_room(self, need: int) -> None:
        free = shutil.disk_usage(self._folder.parent).free
        if free < need:
            raise disk_full(self._folder, f"{gigabytes(need)} GB are needed there, and {gigabytes(free)} GB are free.")

    def _torch(self, refuse_large: bool) -> None:
        names = "torch(vision)?" if self._extra else "torch"  # the tests compare with torchvision's network
        pins = [line for line in self._lock.read_text("utf-8").splitlines() if re.match(rf"{names}==", line)]
        if not sys.platform.startswith("linux"):
            self._tell.step("torch", "Installing PyTorch; this takes some minutes.")
        elif large():
            text = "Installing PyTorch for the NVIDIA card that is here, about 5.7 GB; this takes some minutes."
            self._tell.step("torch", text, LARGE_TORCH)
        else:
            self._tell.step("torch", "Installing PyTorch for the processor, less than 1 GB; this takes some minutes.")
            # Without an NVIDIA card PyTorch's CUDA build is gigabytes for nothing, but it serves too where this index cannot be reached.
            try:
                self._pip("--retries", "0", "--timeout", "10", "--index-url", CPU_INDEX, *pins)
                return
            except Failed as error:
                if error.code == "disk-full":
                    raise
            if refuse_large:
                self._pip("--dry-run", "--no-deps", *pins)  # where there is no network at all, that is what is told
                raise Failed(
                    "torch-large",
                    "PyTorch's builds for processors at download.pytorch.org cannot be reached.",
                    "PyPI's build serves as well, but has about 5.7 GB with its libraries for NVIDIA cards.",
                )
            self._check_room(LARGE)
            self._tell.step(
                "torch",
                "Its builds for processors at download.pytorch.org cannot be reached. PyPI's build follows, which serves as well, but\n"
                "has about 5.7 GB with its libraries for NVIDIA cards. Ctrl+C now if that is too much, and run this again when the\n"
                "address can be reached.",
                LARGE_TORCH,
            )
        self._pip(*pins)

    def _program(self) -> None:
        if self._extra:
            self._pip("--constraint", self._lock, "--editable", f"{self._project}[{self._extra}]")
            return
        with tempfile.TemporaryDirectory() as work:
            wheel = self._wheel or build_wheel(self._project, Path(work), lambda *words: self._run([self._python, "-m", "pip", *words]))
            # All that the network is needed for, before anything changes.
            self._pip("--constraint", self._lock, wheel if self._wheel else f"{wheel}[install]")
            self._pip("--force-reinstall", "--no-deps", wheel)

    def _sum(self) -> str:
        """What the environment depends on, from a checkout and from its wheel the same."""
        digest = hashlib.sha256(f"{self._extra} {self._project if self._extra else ''}\n".encode())
        files = [self._lock, *(HERE / name for name in FILES), *([self._project / "pyproject.toml"] if self._extra else [])]
        for file in files:
            digest.update(file.read_bytes())
        if not self._extra:
            for name, data in sorted(self._sources()):
                digest.update(f"{name} {hashlib.sha256(data).hexdigest()}\n".encode())
        return digest.hexdigest()

    def _sources(self) -> Iterator[tuple[str, bytes]]:
        if self._wheel:
            with zipfile.ZipFile(self._wheel) as archive:
                for name in archive.namelist():
                    if name.startswith(tuple(f"{package}/" for package in PACKAGES)):
                        yield name, archive.read(name)
            return
        for package in PACKAGES:
            for file in (self._project / package).rglob("*"):
                if file.is_file() and "__pycache__" not in file.parts:
                    yield file.relative_to(self._project).as_posix(), file.read_bytes()

    def _pip(self, *words: object) -> None:
        pip = [self._python, "-m", "pip", "--disable-pip-version-check", "install"]
        if not self._tell.events:
            pip.append("--quiet")
        elif self._quietly([*pip, "--progress-bar", "raw", "--help"]) == 0:  # pip 24.1 or newer
            pip += ["--progress-bar", "raw"]
        self._run([*pip, *words])

    def _run(self, words: list[object], failure: str = "install-failed") -> None:
        """Run a program to its end. Raises Failed with what its last lines mean."""
        temporary = self._folder / "tmp"  # /tmp may be small, and pip unpacks there
        if self._python.exists():
            temporary.mkdir(exist_ok=True)
        environment = {**os.environ, "PIP_USER": "0", **({"TMPDIR": str(temporary)} if temporary.exists() else {})}
        lines: list[str] = []
        try:
            process = subprocess.Popen(
                [str(word) for word in words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                text=True, encoding="utf-8", errors="replace", env=environment,
            )  # fmt: skip
        except OSError as error:
            raise Failed(failure, f"{words[0]}: {error.strerror}.") from error
        try:
            for line in process.stdout:
                lines.append(line.rstrip())
                self._tell.heard(line.rstrip())
            code = process.wait()
        except BaseException:
            process.terminate()
            process.wait()
            raise
        if code:
            raise self._meaning(failure, words, [line for line in lines if line.strip()])

    def _meaning(self, failure: str, words: list[object], lines: list[str]) -> Failed:
        text = "\n".join(lines)
        # What has run into it need not have said so.
        if "No space left on device" in text or shutil.disk_usage(self._folder.parent).free < SPARE:
            return disk_full(self._folder, "")
        if NETWORK.search(text):
            return Failed(
                "no-network", "What is to be installed could not be fetched.", "Connect this computer to the network, and try again."
            )
        # pip's own word of what is wrong stands in a line of that kind; another program's is its last.
        last = next((line for line in reversed(lines) if line.startswith("ERROR")), lines[-1] if lines else "it said nothing")
        return Failed(failure, f"{Path(str(words[0])).name} ended with an error: {last}", log="" if self._tell.events else text)

    def _quietly(self, words: list[object]) -> int:
        """The exit code of a program; 127 if there is none."""
        try:
            return subprocess.run([str(word) for word in words], stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode
        except OSError:
            return 127


def build_wheel(project: Path, into: Path, pip: Callable[..., object]) -> Path:
    """The program of a checkout as a wheel in the folder `into`; `pip` runs pip with words.

    Built from a copy, so that the build leaves nothing in the source tree, which may not even be writable.
    """
    with tempfile.TemporaryDirectory() as copy:
        for package in PACKAGES:
            shutil.copytree(project / package, Path(copy, package), ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(project / name, copy)
        pip("--disable-pip-version-check", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(into), copy)
    (wheel,) = into.glob("*.whl")
    return wheel


def large() -> bool:
    """Whether PyTorch's build for NVIDIA cards is the one for this machine."""
    return sys.platform.startswith("linux") and Path("/dev/nvidiactl").exists()


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """While no other of these works on the same folder."""
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = folder.parent / f".{folder.name}.lock"
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Failed("install-running", f"{folder} is being installed already.", "Wait for that to end.") from None
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)


@contextlib.contextmanager
def aside(folder: Path) -> Iterator[None]:
    """While a folder is out of the way: it comes back if what is done meanwhile fails."""
    old = folder.with_name(f"{folder.name}.old")
    if folder.exists():
        shutil.rmtree(old, ignore_errors=True)
        folder.rename(old)
    try:
        yield
    except BaseException:
        if old.exists():
            shutil.rmtree(folder, ignore_errors=True)
            old.rename(folder)
        raise
    shutil.rmtree(old, ignore_errors=True)


def interrupted(*_signal: object) -> None:
    raise KeyboardInterrupt


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("extra", nargs="?", choices=["test", ""], default="")
    parser.add_argument("--weights", action="store_true")
    parser.add_argument("--anew", action="store_true")
    parser.add_argument("--refuse-large", action="store_true", help="fail rather than fetch gigabytes that nobody asked for")
    parser.add_argument("--events", action="store_true")
    parser.add_argument("--state", action="store_true")
    parser.add_argument("--remove", action="store_true")
    args = parser.parse_args()
    folder = args.folder.absolute()
    tell = Teller(args.events)
    environment = Environment(folder, args.extra, tell)
    if args.state:
        print(json.dumps({"state": environment.state(), "bytes": LARGE if large() else SMALL, "large": LARGE}))
        return 0
    for kind in (signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):
        signal.signal(kind, interrupted)
    try:
        with alone(folder):
            environment.stop()
            if args.remove:
                environment.remove()
            else:
                with aside(folder) if args.anew else contextlib.nullcontext():
                    environment.make(args.refuse_large)
                if args.weights:
                    environment.weights()
    except Failed as error:
        if error.log:
            print(error.log, file=sys.stderr)
        tell.end({"failed": error.code, "message": str(error), "hint": error.hint})
        return CODES.get(error.code, 1)
    except KeyboardInterrupt:
        tell.end({"failed": "interrupted", "message": "It was interrupted.", "hint": "Nothing of it is left half-done."})
        return 130
    except BrokenPipeError:  # whoever watched has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 130
    except OSError as error:
        failed = disk_full(folder, "") if error.errno == 28 else Failed("install-failed", f"{error.filename or folder}: {error.strerror}.")
        tell.end({"failed": failed.code, "message": str(failed), "hint": failed.hint})
        return 1
    tell.end({"done": True})
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
