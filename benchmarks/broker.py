"""The broker's promises over any number of sequences of events that hypothesis draws: nothing lost, one end for each job, and the rest.

    python benchmarks/broker.py [--sequences N] [--steps N] [--seed N]

The events and what is asserted of each are in `tests/service/promises.py` and `world.py`; only the broker is real. A sequence that breaks
a promise is made as short as it can be and printed, and the exit code is 1. Else the table says how often what happened, "> " before what
the broker wanted; the last line has the figures.
"""

from __future__ import annotations

import argparse
import logging
import time

import load  # noqa: F401 - finds the next two
from hypothesis import HealthCheck, seed, settings
from hypothesis.stateful import run_state_machine_as_test

# isort: split
from promises import Promises
from world import World


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sequences", type=int, default=10_000)
    parser.add_argument("--steps", type=int, default=40, help="at most, of one sequence")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    logging.disable()
    begun = 0

    class Counted(Promises):
        def __init__(self) -> None:
            nonlocal begun
            begun += 1
            super().__init__()

    limits = settings(
        max_examples=args.sequences,
        report_multiple_bugs=False,
        stateful_step_count=args.steps,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    began = time.monotonic()
    run_state_machine_as_test(seed(args.seed)(Counted), settings=limits)
    for name, count in sorted(World.seen.items()):
        print(f"{name:24} {count:12,}")
    happened = sum(
        count
        for name, count in World.seen.items()
        if name in {"Heard", "Refused", "Told", "Said", "Gone", "Written", "Read", "Tick", "Stop"}
    )
    print(f"{begun:,} sequences, {happened:,} events in {time.monotonic() - began:.0f} s: every promise kept")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
