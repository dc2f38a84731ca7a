"""How soon the daemon answers while a worker computes at full load and many clients submit.

    python benchmarks/answering.py [--clients 64] [--asks 600] [--cancels 5]

One client runs a long blend of 512x512 pixels; each of the others submits a job of that size and cancels it, about once in two seconds;
their own work, which elsewhere would be other programs', is niced. Meanwhile one more asks for `status`, one question after another, 20 ms
between them. Then, with the queue empty, running blends are cancelled: the time from `cancel` to `cancelled`, which is when the worker is
free. The last line has the 99th percentile of a status.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import time
from multiprocessing.synchronize import Event
from threading import Thread

import load  # noqa: F401 - finds the next one
import numpy as np

# isort: split
from daemons import Client, Daemon, idle, raster, until
from skimage import data, transform

LONG = {"preset": "standard", "iterations": 2000}


def pictures() -> tuple:
    """Source, target and mask of 512x512."""
    target, source = (np.rint(transform.resize(picture, (512, 512)) * 255).astype(np.uint8) for picture in (data.coffee(), data.chelsea()))
    mask = np.zeros((512, 512, 1), np.uint8)
    mask[32:-32, 32:-32] = 255
    return raster(source), raster(target), raster(mask)


def submit_and_cancel(address: str, key: str, over: Event) -> None:
    """One of the many clients."""
    chance, parts = random.Random(key), pictures()
    with Client(address, key) as client:
        while not over.is_set():
            job = client.submit(*parts, (0, 0), LONG)
            time.sleep(chance.uniform(0.5, 1.5))
            client.cancel(job)
            client.pump()
            time.sleep(chance.uniform(0.5, 1.5))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--asks", type=int, default=600)
    parser.add_argument("--cancels", type=int, default=5)
    args = parser.parse_args()
    daemon, parts = Daemon(), pictures()
    daemon.start()
    try:
        with Client(daemon.address) as worker, Client(daemon.address) as asking:
            job = worker.submit(*parts, (0, 0), LONG)
            until(worker, job, "progress")
            alone = asks(asking, args.asks // 4)
            # Started before they connect, in few processes: the clients' own work is not what is measured.
            context = multiprocessing.get_context("spawn")
            over = context.Event()
            clients = [context.Process(target=many, args=(daemon.address, n, args.clients // 4, over)) for n in range(4)]
            for client in clients:
                client.start()
            while asking.status(20)["waiting"] < args.clients // 4:
                time.sleep(0.1)
            crowded = asks(asking, args.asks)
            waiting = asking.status(20)["waiting"]
            over.set()
            for client in clients:
                client.join(60)
            worker.cancel(job)
            until(worker, job, "cancelled")
            idle(asking, 60)
            freed = [cancelled(worker, parts) for _ in range(args.cancels)]
    finally:
        daemon.remove()
    print(f"{'':34}{'p50':>9}{'p99':>9}   (ms)")
    for name, times in (
        ("status, one blend runs", alone), (f"status, {args.clients} clients submit", crowded), ("cancel to a free worker", freed),
    ):  # fmt: skip
        print(f"{name:34}{np.percentile(times, 50) * 1e3:9.1f}{np.percentile(times, 99) * 1e3:9.1f}")
    print(f"jobs waiting at the end: {waiting}")
    print(f"status p99 {np.percentile(crowded, 99) * 1e3:.1f} ms")


def many(address: str, number: int, count: int, over: Event) -> None:
    """Several clients in threads of one process."""
    os.nice(10)
    threads = [Thread(target=submit_and_cancel, args=(address, f"{number * count + k:032x}", over)) for k in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def asks(client: Client, count: int) -> list[float]:
    """Seconds that each answer took."""
    times = []
    for _ in range(count):
        began = time.monotonic()
        assert client.status(20)
        times.append(time.monotonic() - began)
        time.sleep(0.02)
    return times


def cancelled(client: Client, parts: tuple) -> float:
    """Seconds from `cancel` to `cancelled` of a running blend."""
    job = client.submit(*parts, (0, 0), LONG)
    until(client, job, "progress")
    time.sleep(0.5)
    began = time.monotonic()
    client.cancel(job)
    until(client, job, "cancelled")
    return time.monotonic() - began


if __name__ == "__main__":
    main()
