"""Put the plug-in's folder together: its own files, `blend_protocol`, pyzmq, compiled catalogues, and what it installs.

    python tools/assemble_plugin.py DEST [--no-pyzmq] [--daemon-command COMMAND ...]
    python tools/assemble_plugin.py --zip deep-image-blending.zip

DEST is the plug-ins folder of GIMP, such as ~/.config/GIMP/3.0/plug-ins. The folder DEST/deep-image-blending is replaced as a whole.
The zip is all that somebody needs to begin: unpacked into GIMP's plug-ins folder, its first window installs the rest.
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
from make_venv import FILES, build_wheel

NAME = "deep-image-blending"
PROJECT = Path(__file__).resolve().parent.parent


def assemble(dest: Path, pyzmq: bool, daemon_command: list[str] | None, setup: bool = False) -> Path:
    """Build DEST/deep-image-blending beside it and move it into place. Returns the folder.

    `setup`: with what the plug-in's own window installs and repairs.
    """
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
        if setup and not add_setup(folder / "setup"):
            print("The plug-in's own window will not be able to repair the installation: its wheel could not be built.", file=sys.stderr)
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


def add_setup(folder: Path) -> bool:
    """The program as a wheel, its pins, and the steps that install it; whether the wheel could be built, which takes a network."""
    folder.mkdir()
    try:
        build_wheel(PROJECT, folder, lambda *words: subprocess.run([sys.executable, "-m", "pip", *words], check=True))
    except subprocess.CalledProcessError:
        folder.rmdir()
        return False
    for file in (PROJECT / "requirements.lock", *(PROJECT / "tools" / name for name in FILES)):
        shutil.copy(file, folder)
    return True


def pack(archive: Path) -> None:
    """Write the plug-in's folder as a zip, whole or not at all. It serves every system: pyzmq is this one's, others use the bridge."""
    with tempfile.TemporaryDirectory(dir=archive.absolute().parent) as work:
        folder = assemble(Path(work) / "plug-ins", True, None, setup=True)
        if not (folder / "setup").is_dir():
            raise SystemExit("No zip was made: without the wheel it could install nothing.")
        made = shutil.make_archive(str(Path(work) / "made"), "zip", Path(work) / "plug-ins")
        Path(made).replace(archive)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dest", type=Path, nargs="?")
    parser.add_argument("--zip", type=Path, metavar="FILE", help="write a zip instead, to be unpacked into any GIMP's plug-ins folder")
    parser.add_argument("--no-pyzmq", action="store_true", help="leave it out")
    parser.add_argument("--daemon-command", nargs=argparse.REMAINDER, help="last: how the plug-in starts the daemon")
    args = parser.parse_args()
    if (args.dest is None) == (args.zip is None):
        parser.error("give DEST, or --zip FILE")
    if args.zip:
        pack(args.zip)
        print(args.zip)
    else:
        print(assemble(args.dest, not args.no_pyzmq, args.daemon_command, setup=True))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
