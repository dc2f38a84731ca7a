"""Which Python make_venv.py makes the environment with. Standard library only."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

from telling import Failed

OLDEST = (3, 11)
ELSEWHERE = ("/usr/bin/python3", sys.executable)  # where there may be a Python besides the PATH
# Asked of a Python: its version, whether it can make environments, and where it is from.
PROBE = (
    "import importlib.util as u, json, sys, sysconfig; "
    "print(json.dumps([sys.version_info[:2], all(map(u.find_spec, ('venv', 'ensurepip'))), sysconfig.get_platform(), sys.base_prefix]))"
)


def find_python() -> str:
    """A Python that can make an environment which lasts: not one that a GIMP brings along."""
    names = ["python3", "python3.13", "python3.12", "python3.11", "python"]
    chosen = os.environ.get("BLEND_DAEMON_PYTHON")
    found = [chosen] if chosen else [path for path in map(shutil.which, names) if path] + list(ELSEWHERE)
    if os.name == "nt" and not chosen:
        launcher = subprocess.run(["py", "-3", "-c", "import sys; print(sys.executable)"], capture_output=True, text=True, check=False)
        found.insert(0, launcher.stdout.strip()) if launcher.returncode == 0 else None
    without, seen = "", []
    for path in dict.fromkeys(found):
        try:
            said = subprocess.run([path, "-c", PROBE], capture_output=True, text=True, timeout=30, check=True).stdout
            version, complete, platform, prefix = json.loads(said)
        except (OSError, subprocess.SubprocessError, ValueError):
            continue
        seen.append(".".join(map(str, version)))
        brought = platform.startswith("mingw") or (os.environ.get("APPDIR") and prefix.startswith(os.environ["APPDIR"]))
        if tuple(version) < OLDEST or brought:
            continue
        if complete:
            return path
        without = without or path
    if without:
        raise Failed(
            "venv-missing",
            f"Python's own module venv is missing for {without}.",
            "Install it and try again; on Debian and Ubuntu: sudo apt install python3-venv",
        )
    raise Failed(
        "python-missing",
        f"Python 3.11 or newer is needed, and there is {', '.join(dict.fromkeys(seen)) or 'none'}.",
        "Install it from your system's packages or from python.org, and try again.",
    )
