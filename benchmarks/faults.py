"""Every fault of the table, in random order, against a real daemon: is what is promised kept, and is nothing lost?

    python benchmarks/faults.py [--times N] [--only WORD] [--seed N] [--scale N]

The table is `tests/service/{process,disk,wire,network}_faults.py`. After each fault every result that was announced
must be listed and come back byte for byte; a fault whose promise is broken counts as a loss. `--scale 50` makes 10,000 idle connections
of 200. Some faults need root, one the package libfaketime. The last line counts the losses; the exit code is 1 if there are any.
"""

from __future__ import annotations

import argparse
import os
import random
import time
import traceback

import load  # noqa: F401 - finds the next five

# isort: split
import disk_faults  # noqa: F401 - enters its part into the table
import network_faults  # noqa: F401 - and this one
import process_faults  # noqa: F401 - and this one
import wire_faults  # noqa: F401 - and this one
from scene import FAULTS, Scene


def main() -> int:
    """Returns 1 if anything was lost."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=1, help="how often the whole table is run")
    parser.add_argument("--only", default="", help="only faults with this word in their name")
    parser.add_argument("--seed", type=int, default=0, help="of the order")
    parser.add_argument("--scale", type=int, default=1, help="multiplies connections and messages, up to 50")
    args = parser.parse_args()
    faults = [fault for fault in FAULTS if args.only in fault.name and (os.getuid() == 0 or not fault.root)]
    runs = [fault for _ in range(args.times) for fault in faults]
    random.seed(args.seed)
    random.shuffle(runs)
    seconds: dict[str, list[float]] = {fault.name: [] for fault in faults}
    losses: dict[str, int] = dict.fromkeys(seconds, 0)
    scene = Scene(scale=args.scale)
    for fault in runs:
        began = time.monotonic()
        try:
            scene.up()
            fault.run(scene)
            scene.check()
        except Exception:
            losses[fault.name] += 1
            print(f"LOSS: {fault.name}\n{traceback.format_exc()}", flush=True)
            scene.daemon.remove()
            scene = Scene(scale=args.scale)
        seconds[fault.name].append(time.monotonic() - began)
    scene.daemon.remove()
    print(f"{'fault':58} {'runs':>4} {'losses':>6} {'median s':>8}  promise")
    for fault in faults:
        median = sorted(seconds[fault.name])[args.times // 2]
        print(f"{fault.name:58} {args.times:4} {losses[fault.name]:6} {median:8.1f}  {fault.promise}")
    print(f"{len(faults)} faults x {args.times} runs, {sum(losses.values())} losses")
    return int(any(losses.values()))


if __name__ == "__main__":
    raise SystemExit(main())
