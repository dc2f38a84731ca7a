"""`blend-daemon doctor`: what is in place, what is not, and what to do about it."""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from blend_daemon import __version__
from blend_daemon.errors import BlendError

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
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    findings = [*_versions(), _weights(), _device(), _daemon(), *_plugins()]
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
    from blend_daemon.engine import weights

    try:
        info = weights.load()[1]
    except BlendError as error:
        return Finding("weights", False, str(error), error.hint)
    return Finding("weights", True, f"{info.get('trunk')} at {weights.path()}")


def _device() -> Finding:
    from blend_daemon.engine import device

    chosen = device.choose("auto")
    return Finding("device", True, f"{chosen}, {str(device.precision(chosen)).removeprefix('torch.')}")


def _daemon() -> Finding:
    from blend_daemon.protocol import runtime
    from blend_daemon.protocol.client import Client

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


def _plugins() -> Iterator[Finding]:
    base = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "GIMP"
    own = os.environ.get("GIMP3_DIRECTORY")
    profiles = [Path(own)] if own else sorted(base.glob("3.*"))
    folders = [profile / "plug-ins" / PLUGIN for profile in profiles]
    if not any(folder.exists() for folder in folders):
        yield Finding("plug-in", None, f"not in {' or '.join(map(str, folders)) or base}.", "With GIMP 3 installed, run install.sh again.")
    for folder in folders:
        if folder.exists():
            yield _plugin(folder)


def _plugin(folder: Path) -> Finding:
    main = folder / f"{PLUGIN}.py"
    what = f"plug-in {folder}"
    if not main.is_file():
        return Finding(what, False, f"{main.name} is missing, or the folder has another name.", INSTALL)
    if not os.access(main, os.X_OK):
        return Finding(what, False, f"{main} is not executable, so GIMP ignores it.", f"Run `chmod +x {main}`.")
    vendored = folder / "vendor/blend_daemon/__init__.py"
    version = re.search(r'__version__ = "(.*)"', vendored.read_text()) if vendored.is_file() else None
    if not version or version[1] != __version__:
        return Finding(what, False, f"is of version {version[1] if version else '?'}, the daemon of {__version__}.", INSTALL)
    code = "import sys; sys.path.insert(0, sys.argv[1]); import zmq"
    tried = subprocess.run(["/usr/bin/python3", "-c", code, str(folder / "vendor")], capture_output=True, text=True, check=False)
    if tried.returncode:
        last = (tried.stderr.strip().splitlines() or ["?"])[-1]
        return Finding(what, False, f"GIMP's Python cannot load its pyzmq ({last}).", INSTALL)
    return Finding(what, True, f"version {version[1]}")
