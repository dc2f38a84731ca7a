"""Put the plug-in's folder together: its own files, `blend_protocol`, pyzmq for GIMP's Python, compiled catalogues.

    python tools/assemble_plugin.py DEST --python-version 3.13 [--daemon-command COMMAND ...]

DEST is the plug-ins folder of GIMP, such as ~/.config/GIMP/3.0/plug-ins. The folder DEST/deep-image-blending is replaced as a whole.
Needs pip and polib.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import polib

NAME = "deep-image-blending"
PROJECT = Path(__file__).resolve().parent.parent


def assemble(dest: Path, python_version: str, daemon_command: list[str] | None) -> Path:
    """Build DEST/deep-image-blending beside it and move it into place. Returns the folder."""
    dest.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=dest.parent, prefix=f".{NAME}-") as work:
        folder = Path(work) / NAME
        skip = shutil.ignore_patterns("__pycache__", "*.po", "*.pot", "vendor")
        shutil.copytree(PROJECT / "gimp_plugin" / NAME, folder, ignore=skip)
        (folder / f"{NAME}.py").chmod(0o755)
        vendor = folder / "vendor"
        shutil.copytree(PROJECT / "blend_protocol", vendor / "blend_protocol", ignore=skip)
        _install_pyzmq(vendor, python_version)
        for catalogue in sorted((PROJECT / "gimp_plugin" / NAME / "locale").glob("*.po")):
            compiled = folder / "locale" / catalogue.stem / "LC_MESSAGES" / f"{NAME}.mo"
            compiled.parent.mkdir(parents=True)
            polib.pofile(str(catalogue)).save_as_mofile(str(compiled))
        if daemon_command:
            (folder / "daemon.json").write_text(json.dumps({"command": daemon_command}) + "\n")
        final = dest / NAME
        if final.exists():
            shutil.rmtree(final)
        folder.rename(final)
    return final


def _install_pyzmq(vendor: Path, python_version: str) -> None:
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-compile",
        "--root-user-action=ignore",
    ]
    command += ["--target", str(vendor), "--python-version", python_version, "--only-binary=:all:"]
    command += ["--constraint", str(PROJECT / "requirements.lock"), "pyzmq"]
    subprocess.run(command, check=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dest", type=Path)
    parser.add_argument("--python-version", required=True, help="of GIMP's Python, such as 3.13")
    parser.add_argument("--daemon-command", nargs=argparse.REMAINDER, help="last: how the plug-in starts the daemon")
    args = parser.parse_args()
    print(assemble(args.dest, args.python_version, args.daemon_command))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
