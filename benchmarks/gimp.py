"""What GIMP's user waits for beside the optimiser, on a 24 megapixel image, in a real GIMP.

    python benchmarks/gimp.py [--version 3.0] [--object 300]

Measures, in GIMP on a virtual screen: from the call to the visible dialog; from a key on a slider, or a change of the mask, to a changed
preview (screenshots are taken one after another, so the figure is late by up to one of them, whose time is shown); from *Blend* to the
job's arrival at the daemon and to its first evaluation, what was sent, and how much more memory the plug-in's process took for it than it
had with the dialog waiting (a relay between the two looks on, for a method of one step and for `deep`); from the call to the new layer
beyond the optimisation (a call without a dialog); and how long GIMP itself took to answer another plug-in meanwhile. The last line has
the time beyond the optimisation.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image
from skimage import data

HERE = Path(__file__).resolve().parent
TESTS = HERE.parent / "tests/gimp"
sys.path[:0] = [str(TESTS), str(HERE.parent / "tools")]
from harness import DAEMON, Gimp  # noqa: E402 - found by the line above

from blend_protocol import runtime  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--version", default="3.0", help="of GIMP: 3.0 or 3.2")
    parser.add_argument("--object", type=int, default=300, metavar="PX", help="side of the selected square")
    args = parser.parse_args()
    work = Path(tempfile.mkdtemp(prefix="dib-"))
    gimp = Gimp(args.version, work)
    gimp.environment |= {"WORK": str(work), "TESTS": str(TESTS), "BLEND_DAEMON_WEIGHTS_DIR": str(runtime.weights_dir())}
    gimp.install()
    shutil.copytree(TESTS / "meddler", gimp.plug_ins / "meddler")
    Image.fromarray(data.chelsea()).resize((1600, 1200)).save(work / "object.png")
    Image.fromarray(data.coffee()).resize((6000, 4000)).save(work / "picture.png")
    daemon = subprocess.Popen([*DAEMON, "serve"], env={**os.environ, **gimp.environment, "PATH": os.environ["PATH"]})
    try:
        while not (work / "run/socket").exists():
            time.sleep(0.1)
        done = gimp.run(HERE / "gimp_inside.py", screen=True, SIZE=str(args.object))
        found = json.loads((work / "measured.json").read_text()) if (work / "measured.json").exists() else None
    finally:
        daemon.terminate()
        daemon.wait(20)
        shutil.rmtree(work, ignore_errors=True)
    if found is None:
        print(done.stdout + done.stderr, file=sys.stderr)
        return 1
    for what, seconds in found.items():
        print(f"{what:66} {seconds:7.2f} {'MB' if 'MB' in what else 's'}".replace(", MB", "    "))
    print(f"beyond the optimisation {found['from the call to the layer, beyond the optimisation']:.2f} s")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
