"""`blend-daemon doctor`: what is in place, what is not, and what to do about it."""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from blend_protocol import __version__
from blend_protocol.errors import BlendError

PLUGIN = "deep-image-blending"
INSTALL = "Run install.sh again."


class Finding(NamedTuple):
    """One thing looked at; `good` is None where there is nothing to judge."""

    what: str
    good: bool | None
    detail: str
    remedy: str = ""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser("doctor", help="check weights, device, daemon and plug-in (exit code 1 if something is wrong)")
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.add_argument("--quick", action="store_true", help="without the blend that tries everything")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    findings = [*_versions(), _weights(), _device(), _privacy(), _daemon(), *_plugins()]
    if not args.quick:
        findings.append(_trial())
    # A report is for showing to others: it holds no keys, and whose computer it is of is not their concern.
    findings = [Finding(_homeless(what), good, _homeless(detail), _homeless(remedy)) for what, good, detail, remedy in findings]
    if args.json:
        print(json.dumps([finding._asdict() for finding in findings], indent=2))
    else:
        for finding in findings:
            mark = {True: "ok     ", False: "PROBLEM", None: "note   "}[finding.good]
            print(f"{mark} {finding.what}: {finding.detail}" + (f" {finding.remedy}" if finding.remedy else ""))
    return int(any(finding.good is False for finding in findings))


def _versions() -> Iterator[Finding]:
    yield Finding("blend-daemon", True, f"{__version__}, Python {platform.python_version()} on {platform.platform()}")
    try:
        import torch
    except ImportError as error:
        yield Finding("PyTorch", False, f"{error}.", INSTALL)
    else:
        yield Finding("PyTorch", True, f"{torch.__version__}, {torch.get_num_threads()} threads")


def _weights() -> Finding:
    from blend_daemon.engine.network import weights

    try:
        info = weights.load()[1]
    except BlendError as error:
        return Finding("weights", False, str(error), error.hint)
    return Finding("weights", True, f"{info.get('trunk')} at {weights.path()}")


def _device() -> Finding:
    from blend_daemon.engine import device

    chosen = device.choose("auto")
    return Finding("device", True, f"{chosen}, {str(device.precision(chosen)).removeprefix('torch.')}")


def _privacy() -> Finding:
    from blend_daemon.service.io import client_sockets

    if client_sockets.tells_users():
        return Finding("socket", True, "other users are kept out by its folder's mode and by their user ids")
    return Finding("socket", None, "other users are kept out by its folder's mode alone: this system does not tell who connects")


def _daemon() -> Finding:
    from blend_protocol import runtime
    from blend_protocol.client import Client

    try:
        if runtime.runtime_dir().exists():
            runtime.private_dir(runtime.runtime_dir())
        if not runtime.socket_path().exists():
            return Finding("daemon", None, f"not running; the plug-in starts it when it needs it. Log: {runtime.log_path()}")
        with Client() as client:
            status = client.status()
    except BlendError as error:
        return Finding("daemon", False, str(error), error.hint)
    if status is None:
        return Finding("daemon", None, f"not running (a socket is left of the last one). Log: {runtime.log_path()}")
    if status["version"] != __version__:
        return Finding(
            "daemon", False, f"version {status['version']} is running.", "Run `blend-daemon stop`; the new one starts by itself."
        )
    return Finding("daemon", True, f"pid {status['pid']}, device {status['device']}. Log: {status['log']}")


def _trial() -> Finding:
    """A small blend, by the daemon if one runs, in this process otherwise."""
    import time

    import numpy as np

    from blend_daemon.engine import Parameters, Problem, blend
    from blend_daemon.service.io import lock
    from blend_protocol import runtime
    from blend_protocol.client import Client, Raster

    y, x = np.mgrid[:64, :64]
    target = np.stack([x * 3, y * 3, (x ^ y) & 255], axis=2).astype(np.uint8)
    source = np.ascontiguousarray(255 - target[:32, :32])
    mask = (((y - 16) ** 2 + (x - 16) ** 2 < 12**2) * 255).astype(np.uint8)[:32, :32]
    began = time.monotonic()
    try:
        if lock.holder(runtime.runtime_dir()):
            where = "the daemon"
            with Client() as client:
                parts = [Raster("uint8", part.shape, part.tobytes()) for part in (source, target, mask[:, :, None])]
                job = client.submit(parts[0], parts[1], parts[2], (16, 16), {"preset": "draft"})
                (last,) = [message for message in client.follow(job) if message.type in ("result", "cancelled")]
                if last.type == "cancelled":
                    return Finding("self-test", False, "the daemon cancelled the blend.", "Run `blend-daemon status`.")
                client.release(job)
                layer = np.frombuffer(last.rasters["layer"].data, np.uint8).reshape(last.rasters["layer"].shape)
        else:
            where = "this process"
            layer = blend(Problem.from_arrays(source, target, mask, (16, 16)), Parameters(preset="draft")).layer
    except BlendError as error:
        return Finding("self-test", False, str(error), error.hint)
    inside = layer[:, :, 3] > 0
    if inside.sum() != (mask > 0).sum() or layer[inside, :3].std() == 0:
        return Finding("self-test", False, f"the blend that {where} made is wrong.", INSTALL)
    return Finding("self-test", True, f"a blend of {inside.sum()} pixels by {where} took {time.monotonic() - began:.1f} s")


def _homeless(text: str) -> str:
    home = str(Path.home())
    return text.replace(home, "~") if home != "/" else text


def _plugins() -> Iterator[Finding]:
    base = _gimps()
    own = os.environ.get("GIMP3_DIRECTORY")
    flatpak = Path.home() / ".var/app/org.gimp.GIMP/config/GIMP"
    profiles = [Path(own)] if own else sorted({path.resolve() for folder in (base, flatpak) for path in folder.glob("3.*")})
    folders = [profile / "plug-ins" / PLUGIN for profile in profiles]
    if not any(folder.exists() for folder in folders):
        yield Finding("plug-in", None, f"not in {' or '.join(map(str, folders)) or base}.", "With GIMP 3 installed, run install.sh again.")
    for folder in folders:
        if folder.exists():
            yield _plugin(folder)


def _gimps() -> Path:
    """The folder in which each version of GIMP has its own."""
    if sys.platform == "win32":
        return Path(os.environ.get("APPDATA") or Path.home() / "AppData/Roaming") / "GIMP"
    if sys.platform == "darwin":
        return Path.home() / "Library/Application Support/GIMP"
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "GIMP"


def _system_python() -> str | None:
    """The Python that GIMP runs plug-ins with: the first on the PATH that is not this environment's own."""
    own = Path(sys.prefix) / "bin"
    others = [folder for folder in os.environ.get("PATH", os.defpath).split(os.pathsep) if Path(folder) != own]
    return shutil.which("python3", path=os.pathsep.join(others))


def _plugin(folder: Path) -> Finding:
    main = folder / f"{PLUGIN}.py"
    what = f"plug-in {folder}"
    if not main.is_file():
        return Finding(what, False, f"{main.name} is missing, or the folder has another name.", INSTALL)
    if not os.access(main, os.X_OK):
        return Finding(what, False, f"{main} is not executable, so GIMP ignores it.", f"Run `chmod +x {main}`.")
    vendored = folder / "vendor/blend_protocol/__init__.py"
    version = re.search(r'__version__ = "(.*)"', vendored.read_text()) if vendored.is_file() else None
    if not version or version[1] != __version__:
        return Finding(what, False, f"is of version {version[1] if version else '?'}, the daemon of {__version__}.", INSTALL)
    code = "import sys; sys.path.insert(0, sys.argv[1]); import zmq"
    python = _system_python()
    if python is None:
        return Finding(what, False, "there is no python3 on the PATH for GIMP to run it with.", "Install Python 3.")
    tried = subprocess.run([python, "-c", code, str(folder / "vendor")], capture_output=True, text=True, check=False)
    if tried.returncode:
        return Finding(what, True, f"version {version[1]}; {python} cannot load its pyzmq, and goes through `blend-daemon bridge`")
    return Finding(what, True, f"version {version[1]}")
