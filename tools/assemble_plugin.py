"""Put the plug-in's folder together: its own files, `blend_protocol`, pyzmq, compiled catalogues.

    python tools/assemble_plugin.py DEST [--no-pyzmq] [--daemon-command COMMAND ...]

DEST is the plug-ins folder of GIMP, such as ~/.config/GIMP/3.0/plug-ins. The folder DEST/deep-image-blending is replaced as a whole.
Needs pip and polib. Where GIMP's Python cannot load that pyzmq, or there is none for this system, the plug-in goes through
`blend-daemon bridge`.
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


def assemble(dest: Path, pyzmq: bool, daemon_command: list[str] | None) -> Path:
    """Build DEST/deep-image-blending beside it and move it into place. Returns the folder."""
    dest.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=dest.parent, prefix=f".{NAME}-") as work:
        folder = Path(work) / NAME
        skip = shutil.ignore_patterns("__pycache__", "*.po", "*.pot", "vendor")
        shutil.copytree(PROJECT / "gimp_plugin" / NAME, folder, ignore=skip)
        (folder / f"{NAME}.py").chmod(0o755)
        vendor = folder / "vendor"
        shutil.copytree(PROJECT / "blend_protocol", vendor / "blend_protocol", ignore=skip)
        if pyzmq and not install_pyzmq(vendor):
            print("There is no pyzmq for the plug-in; it goes through `blend-daemon bridge`.", file=sys.stderr)
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


def install_pyzmq(folder: Path) -> bool:
    """Whether pyzmq could be had: a build for Python 3.12, whose stable ABI serves every later one, Flatpak's and the system's."""
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
    command += ["--target", str(folder), "--python-version", "3.12", "--only-binary=:all:"]
    command += ["--constraint", str(PROJECT / "requirements.lock"), "pyzmq"]
    return subprocess.run(command, check=False).returncode == 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dest", type=Path)
    parser.add_argument("--no-pyzmq", action="store_true", help="leave it out")
    parser.add_argument("--daemon-command", nargs=argparse.REMAINDER, help="last: how the plug-in starts the daemon")
    args = parser.parse_args()
    print(assemble(args.dest, not args.no_pyzmq, args.daemon_command))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
