"""Remakes the README's pictures of the plug-in's windows, dialog.png and compare-methods.png: the shipped example in a real GIMP.

python tools/screenshots.py [--version 3.0]
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
TESTS = PROJECT / "tests/gimp"
sys.path.insert(0, str(TESTS))
from harness import DAEMON, Gimp  # noqa: E402 - found by the line above

from blend_protocol import runtime  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--version", default="3.0", help="of GIMP: 3.0 or 3.2")
    args = parser.parse_args()
    work = Path(tempfile.mkdtemp(prefix="dib-"))
    gimp = Gimp(args.version, work)
    gimp.environment |= {"WORK": str(work), "TESTS": str(TESTS), "BLEND_DAEMON_WEIGHTS_DIR": str(runtime.weights_dir())}
    gimp.install()
    for file in (PROJECT / "examples/cat-on-canvas").iterdir():
        shutil.copy(file, work)
    try:
        done = gimp.run(PROJECT / "tools/screenshots_inside.py", screen=True)
        made = list(work.glob("shot-*.png"))
        for shot in made:
            shutil.copy(shot, PROJECT / "docs/images" / shot.name.removeprefix("shot-"))
    finally:
        subprocess.run([*DAEMON, "stop"], env=gimp.environment, stdout=subprocess.DEVNULL)
        shutil.rmtree(work, ignore_errors=True)
    print(*(shot.name for shot in made) if len(made) == 2 else (done.stdout, done.stderr))
    return len(made) != 2


if __name__ == "__main__":
    raise SystemExit(main())
