"""How the blend daemon is started from here."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from blend_protocol import keys, runtime

NOTE = Path(__file__).resolve().parents[2] / "daemon.json"


def command() -> list[str]:
    """How to start the daemon: what the installer wrote down, else what was installed from here, else what is on the PATH."""
    if NOTE.is_file():
        return json.loads(NOTE.read_text())["command"]
    if installed := runtime.installed_command():
        return [str(installed)]
    search = os.pathsep.join([os.environ.get("PATH", ""), str(Path.home() / ".local/bin")])
    return [shutil.which("blend-daemon", path=search) or "blend-daemon"]


def missing() -> bool:
    """Whether there is no blend daemon to be started, none that runs, and none elsewhere that this computer is paired with."""
    return shutil.which(command()[0]) is None and not runtime.socket_path().exists() and not keys.daemons()
