"""How the blend daemon is started from here."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

NOTE = Path(__file__).resolve().parents[2] / "daemon.json"


def command() -> list[str]:
    """How to start the daemon: what the installer wrote down, else what is on the PATH."""
    if NOTE.is_file():
        return json.loads(NOTE.read_text())["command"]
    search = os.pathsep.join([os.environ.get("PATH", ""), str(Path.home() / ".local/bin")])
    return [shutil.which("blend-daemon", path=search) or "blend-daemon"]
