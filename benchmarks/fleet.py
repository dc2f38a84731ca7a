"""The fleet beside the local pool, under fire, and over 1, 2 and 4 workers, on a real Ray cluster whose nodes are all on this machine.

    python benchmarks/fleet.py overhead [--times N]
    python benchmarks/fleet.py kills [--jobs N] [--every S] [--seed N]
    python benchmarks/fleet.py throughput [--jobs N]

`overhead`: drafts, one worker of one thread, by turns in the local pool and in the fleet; the medians and their ratio.
`kills`: poisson jobs, while every S seconds on average a worker is killed or a node with all on it, for which another joins. Each job ends
once and with a result, which is the same bytes as when it is computed alone; else the exit code is 1.
`throughput`: drafts a second over 1, 2 and 4 workers of one thread. More workers than cores cannot be faster.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import statistics
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import load  # noqa: F401 - finds the next two
import numpy as np

# isort: split
from clusters import Cluster, cluster_of
from daemons import Client, Daemon, loaded, raster, until, wait_for

AHEAD = 6  # jobs that are under way at once; a client may have 8


def submit(client: Client, parameters: dict, seed: int = 0) -> str:
    picture = np.random.default_rng(seed).integers(0, 256, (2, 96, 96, 3), np.uint8)
    mask = np.zeros((96, 96, 1), np.uint8)
    mask[16:80, 16:80] = 255
    return client.submit(raster(picture[0]), raster(picture[1]), raster(mask), (0, 0), parameters)


@contextmanager
def served(*options: str, environment: dict[str, str] | None = None) -> Iterator[Client]:
    """A client of a daemon, all of whose workers are loaded."""
    daemon = Daemon()
    daemon.environment |= {"OMP_NUM_THREADS": "1", **(environment or {})}
    try:
        daemon.start("--device", "cpu", *options)
        with Client(daemon.address) as client:
            wait_for(client, loaded, 300)
            yield client
    finally:
        daemon.remove()


def fleet(cluster: Cluster, workers: int):
    options = "--engine", "ray", "--ray-address", cluster.address, "--worker-cpus", "1", "--workers", str(workers)
    return served(*options, environment=cluster.environment)


def overhead(times: int) -> int:
    seconds: dict[str, list[float]] = {"local": [], "fleet": []}
    with cluster_of(1) as cluster, served() as local, fleet(cluster, 1) as far:
        for _ in range(times + 1):
            for name, client in (("local", local), ("fleet", far)):
                began = time.monotonic()
                until(client, submit(client, {"preset": "draft"}), "result", limit=300)
                seconds[name].append(time.monotonic() - began)
    middle = {name: statistics.median(each[1:]) for name, each in seconds.items()}
    ratio = middle["fleet"] / middle["local"]
    print(f"a draft: {middle['local']:.3f} s in the local pool, {middle['fleet']:.3f} s in the fleet, {ratio:.3f} times")
    return 0


def all_of(client: Client, count: int, parameters: dict, meanwhile=lambda: None) -> tuple[dict[int, bytes], Counter]:
    """The layers of so many jobs, by the seed of their pictures, and how they ended."""
    seeds, layers, ends, begun = {}, {}, Counter(), 0
    while begun < count or seeds:
        while begun < count and len(seeds) < AHEAD:
            seeds[submit(client, parameters, begun)] = begun
            begun += 1
        client.wait(0.1)
        for message in client.pump():
            if message.type not in ("result", "failed", "cancelled"):
                continue
            seed = seeds.pop(message.header["job"], None)
            ends[message.type if seed is not None else "a second time"] += 1
            if message.type == "result" and seed is not None:
                layers[seed] = bytes(message.rasters["layer"].data)
                client.release(message.header["job"])
            elif message.type == "failed":
                print("failed:", message.header["message"])
        meanwhile()
    return layers, ends


def kills(jobs: int, every: float, seed: int) -> int:
    chance, killed = random.Random(seed), Counter()
    with cluster_of(2) as cluster:
        with fleet(cluster, 2) as client:
            next_kill = time.monotonic() + chance.expovariate(1 / every)

            def kill() -> None:
                nonlocal next_kill
                if time.monotonic() < next_kill:
                    return
                if chance.random() < 0.2:
                    cluster.kill(chance.randrange(2))
                    cluster.add()
                    killed["nodes"] += 1
                elif pids := [worker["pid"] for worker in (client.status() or {"workers": ()})["workers"] if worker["pid"]]:
                    with suppress(ProcessLookupError):  # it has just ended
                        os.kill(chance.choice(pids), signal.SIGKILL)
                        killed["workers"] += 1
                next_kill = time.monotonic() + chance.expovariate(1 / every)

            began = time.monotonic()
            layers, ends = all_of(client, jobs, {"method": "poisson"}, kill)
            took = time.monotonic() - began
        with served() as alone:
            expected, _ = all_of(alone, jobs, {"method": "poisson"})
    same = sum(layers.get(number) == layer for number, layer in expected.items())
    print(f"{jobs} jobs in {took:.0f} s, killed: {dict(killed)}; ends: {dict(ends)}; {same} with the same bytes as alone")
    return int(ends != Counter(result=jobs) or same != jobs)


def throughput(jobs: int) -> int:
    with cluster_of(4) as cluster:
        for workers in (1, 2, 4):
            with fleet(cluster, workers) as client:
                all_of(client, workers, {"preset": "draft"})
                began = time.monotonic()
                all_of(client, jobs, {"preset": "draft"})
                rate = jobs / (time.monotonic() - began)
            print(f"{workers} workers {rate:6.2f} drafts/s {'#' * round(rate * 4)}", flush=True)
    print(f"on {os.cpu_count()} cores")
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("overhead", "kills", "throughput"))
    parser.add_argument("--times", type=int, default=15)
    parser.add_argument("--jobs", type=int, help="default: 1000 under fire, 24 for the throughput")
    parser.add_argument("--every", type=float, default=10, help="s between two kills, on average")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    if args.what == "overhead":
        return overhead(args.times)
    return kills(args.jobs or 1000, args.every, args.seed) if args.what == "kills" else throughput(args.jobs or 24)


if __name__ == "__main__":
    raise SystemExit(main())
