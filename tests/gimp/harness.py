"""Runs a real GIMP 3: the machine's own, or the one of a root (see root.py) inside a bubblewrap sandbox."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import root
from assemble_plugin import assemble, install_pyzmq
from PIL import Image
from skimage import data

PROJECT = Path(__file__).resolve().parents[2]
HOST = "/host"  # where the sandbox shows the machine
VERSIONS = os.environ.get("GIMP_VERSIONS", "3.0").split(",")
STOCK = ("python-eval", "script-fu", "file-png", "help", "web-browser")
DAEMON = [sys.executable, "-m", "blend_daemon.cli"]
# What makes the daemon compute as on another processor, as .ci/run sets them.
PROCESSOR = ("ONEDNN_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY", "MKL_ENABLE_INSTRUCTIONS", "OPENBLAS_CORETYPE")


class Gimp:
    """One GIMP version with a fresh profile that holds just our plug-in.

    Parameters
    ----------
    version : "3.0" or "3.2"; with "-bridge" behind it the plug-in has no pyzmq
    work : a folder below /tmp with a short name, shared with GIMP; sockets lie in it
    """

    def __init__(self, version: str, work: Path) -> None:
        self.version = version
        version, _, bridge = version.partition("-")
        self.bridge = bool(bridge)
        self._work = work
        self.shared: list[Path] = []  # folders of the machine that GIMP sees besides
        self._root = None if root.own_version() == version else root.ensure(version)
        self.profile = work / "profile"
        self.plug_ins = self.profile / "plug-ins"
        self.plug_ins.mkdir(parents=True)
        settings = ["(show-welcome-dialog no)", "(check-updates no)", f'(plug-in-path "${{gimp_dir}}/plug-ins:{self._stock()}")']
        (self.profile / "gimprc").write_text("\n".join(settings) + "\n")
        (work / "home").mkdir()
        self.environment = {
            "HOME": str(work / "home"),
            "PATH": "/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "GIMP3_DIRECTORY": str(self.profile),
            "BLEND_DAEMON_RUNTIME_DIR": str(work / "run"),
            "BLEND_DAEMON_STATE_DIR": str(work / "state"),
            **{name: os.environ[name] for name in PROCESSOR if name in os.environ},
        }

    def _stock(self) -> Path:
        """A folder with those of GIMP's own plug-ins that the tests use: to start all of them takes longer than most tests."""
        usr = (self._root or Path("/")) / "usr"
        stock = self._work / "stock"
        stock.mkdir()
        for name in STOCK:
            (found,) = usr.glob(f"lib*/**/gimp/3.0/plug-ins/{name}")
            (stock / name).symlink_to(Path("/usr") / found.relative_to(usr))
        return stock

    def install(self) -> None:
        """Assemble the plug-in as the installer does."""
        daemon = ["/usr/bin/env", f"PYTHONPATH={PROJECT}", *DAEMON]  # of this tree, wherever the environment's own lies
        if self._root is not None:
            # The daemon that the plug-in starts is the project's own, which needs the machine's Python and libraries: a second
            # sandbox inside GIMP's, with the machine as its root.
            work = str(self._work)
            bwrap = [f"{HOST}{shutil.which('bwrap')}", "--ro-bind", HOST, "/", "--dev", "/dev", "--ro-bind", "/proc", "/proc"]
            daemon = [*bwrap, "--bind", work, work, *daemon]
        if self.bridge:
            folder = assemble(self.plug_ins, False, daemon)
            (folder / "vendor/zmq.py").write_text("raise ImportError('hidden by the tests')\n")  # the system's own too
            assert install_pyzmq(self._work / "pyzmq")  # for the scripts of the tests
        else:
            assemble(self.plug_ins, True, daemon)

    @contextmanager
    def setting(self, line: str) -> Iterator[None]:
        """One more line in the profile's gimprc, for as long as the context lasts."""
        gimprc = self.profile / "gimprc"
        before = gimprc.read_text()
        gimprc.write_text(f"{before}({line})\n")
        try:
            yield
        finally:
            gimprc.write_text(before)

    def locale(self, name: str) -> dict[str, str]:
        """The environment of a language such as de_DE. GIMP takes no other than a locale's that is there, so one is made."""
        folder = self._work / "locale" / f"{name}.UTF-8"
        if not folder.exists():
            folder.parent.mkdir(exist_ok=True)
            _output([*self._sandbox(self.environment), "localedef", "--no-archive", "-i", name, "-f", "UTF-8", str(folder)])
        return {"LOCPATH": str(folder.parent), "LANG": folder.name}

    def run(
        self,
        script: Path,
        screen: bool = False,
        bus: bool = False,
        size: str = "1280x1000",
        interpreter: str = "python-fu-eval",
        patience: int = 0,
        **environment: str,
    ) -> subprocess.CompletedProcess:
        """Run a script inside GIMP. `screen`: the whole GIMP on a virtual screen, not just its console; of that size;
        `bus`: on a D-Bus of its own; `patience`: s it may take, if not as usual."""
        for stale in self.profile.glob("plug-in-settings/*"):  # last values: no test starts from another's
            shutil.rmtree(stale) if stale.is_dir() else stale.unlink()
        gimp = ["gimp" if screen else "gimp-console", "-id" if not screen else "-df", "--quit"]
        load = f"exec(open({str(script)!r}).read())" if interpreter == "python-fu-eval" else f'(load "{script}")'
        gimp += [f"--batch-interpreter={interpreter}", "-b", load]
        if screen:
            environment["PYTHONPATH"] = str(Path(__file__).parent / "probe")
            gimp = ["xvfb-run", "-a", "-s", f"-screen 0 {size}x24", *gimp]
        else:
            # Pixels are compared there to the last bits; babl would take what is the fastest at that moment within 4.7e-6.
            environment["BABL_TOLERANCE"] = "0"
        if bus:
            gimp = ["dbus-run-session", "--", *gimp]
        command = [*self._sandbox({**self.environment, **environment}), *gimp]
        limit = patience or (180 if screen else 900)
        whole = {**os.environ, **self.environment, **environment}
        return subprocess.run(command, capture_output=True, text=True, timeout=limit, env=whole)

    def _sandbox(self, environment: dict[str, str]) -> list[str]:
        if self._root is None:
            return ["env", "-i", *(f"{name}={value}" for name, value in environment.items())]
        command = ["bwrap", "--die-with-parent", "--unshare-pid", "--dev", "/dev", "--proc", "/proc", "--tmpfs", "/tmp", "--tmpfs", "/run"]
        for folder in ("usr", "etc", "var"):
            command += ["--ro-bind", str(self._root / folder), f"/{folder}"]
        for folder in ("bin", "lib", "lib64", "sbin"):
            command += ["--symlink", f"usr/{folder}", f"/{folder}"]
        command += [
            "--ro-bind",
            "/",
            HOST,
            "--ro-bind",
            str(PROJECT),
            str(PROJECT),
            "--bind",
            str(self._work),
            str(self._work),
        ]
        for folder in self.shared:
            command += ["--ro-bind", str(folder), str(folder)]
        command.append("--clearenv")
        for name, value in environment.items():
            command += ["--setenv", name, value]
        return command


def pictures(folder: Path) -> None:
    """Two small photographs."""
    Image.fromarray(data.chelsea()).resize((160, 120)).save(folder / "object.png")
    Image.fromarray(data.coffee()).resize((200, 150)).save(folder / "picture.png")


def _output(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
