"""The broker's promises over any number of random sequences of events: nothing lost, one end for each job, and the rest.

    python benchmarks/broker.py [--sequences N] [--steps N] [--seed N] [--hypothesis]

The events and their checks are in `tests/service/promises.py` and `world.py`; only the broker is real. Most of hypothesis's time
goes into drawing, so here plain chance picks rules and values; sequence K of a seed is the same each time. One that breaks a promise is
printed, and the exit code is 1. `--hypothesis` has hypothesis draw them, which takes several times as long and makes such a sequence as
short as it can be. The table says how often what happened, "> " before what the broker wanted; the last line has the figures.
"""

from __future__ import annotations

import argparse
import logging
import random
import time
import traceback

import load  # noqa: F401 - finds the next two
from hypothesis import HealthCheck, seed, settings
from hypothesis.stateful import run_state_machine_as_test

# isort: split
from promises import RETRIES, RULES, Promises
from world import World


def by_chance(sequences: int, steps: int, seed: int) -> int:
    """So many sequences; how many there were before one broke a promise, itself included."""
    for number in range(sequences):
        chance, machine = random.Random(f"{seed} {number}"), Promises()
        retries = chance.choice(RETRIES)
        told = [f"begin({retries=})"]
        try:
            machine.begin(retries)
            for _ in range(chance.randint(1, steps)):
                rule = chance.choice(RULES)
                if rule.may(machine):
                    drawn = {name: chance.choice(each) for name, each in rule.values.items()}
                    told.append(f"{rule.act.__name__}({', '.join(f'{name}={value!r}' for name, value in drawn.items())})")
                    rule.act(machine, **drawn)
            machine.teardown()
        except Exception:
            print(*told, sep="\n")
            traceback.print_exc()
            print(f"sequence {number} of seed {seed} breaks a promise; --hypothesis may find a shorter one")
            raise SystemExit(1) from None
    return sequences


def by_hypothesis(sequences: int, steps: int, start: int) -> int:
    """About so many sequences; how many there were."""
    begun = 0

    class Counted(Promises):
        def __init__(self) -> None:
            nonlocal begun
            begun += 1
            super().__init__()

    limits = settings(
        max_examples=sequences,
        report_multiple_bugs=False,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(seed(start)(Counted), settings=limits)
    return begun


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sequences", type=int, default=10_000)
    parser.add_argument("--steps", type=int, default=40, help="at most, of one sequence")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--hypothesis", action="store_true", help="have hypothesis draw the sequences")
    args = parser.parse_args()
    logging.disable()
    began = time.monotonic()
    begun = (by_hypothesis if args.hypothesis else by_chance)(args.sequences, args.steps, args.seed)
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
