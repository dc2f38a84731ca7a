"""Jobs a second, and the way of pixels through the daemon beside a bare echo of the same bytes.

    python benchmarks/throughput.py [--megapixels N] [--times N]

Jobs a second: the smallest jobs, one after another, each from submit to result; nearly all of it is the optimiser.
Pixels out: a kept RGBA result of that many megapixels is fetched, from disk (cached by the system) to the client. Beside it a bare pyzmq
ROUTER in a process of its own sends the same number of bytes, which it has in memory, to a DEALER that asks for them.
Pixels in: source and target of that many megapixels are submitted, until the broker has accepted the job, and until the worker has read and
refused it (it names a device that there is not, so nothing is blended). Beside it the ROUTER is sent the same number of bytes and answers
with a word. The way to the worker is a second hop over the same kind of socket, and the worker checks the pictures first.
Each takes turns with what it is compared with; the medians are compared. What this leaves out: the way of a result from the worker to the
broker, and the fsync of `keep`, which the disk sets. The last line has the ratios.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import tempfile
import time

import load  # noqa: F401 - finds the next two
import numpy as np
import zmq

# isort: split
from daemons import raster, until
from scene import ME, Scene, new_id, scene_of_its_own

from blend_daemon.service.io.disk import Disk
from blend_protocol.framing import Message


def echo(address: str, size: int) -> None:
    """Answer each word with so many bytes, and what is longer with a word, until the empty word."""
    router = zmq.Context().socket(zmq.ROUTER)
    router.bind(address)
    data = np.ones(size, np.uint8)
    while True:
        client, *frames = router.recv_multipart(copy=False)
        if not len(frames[0]):
            return
        router.send_multipart([client, b"head", *([data] if len(frames) == 1 else [])], copy=False)


def jobs_a_second(scene: Scene, count: int = 20) -> float:
    """Small jobs one after another."""
    with scene.client() as client:
        scene.worker(client)
        scene.blended(client)
        began = time.monotonic()
        for _ in range(count):
            until(client, scene.send(client), "result")
        return count / (time.monotonic() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megapixels", type=float, default=12)
    parser.add_argument("--times", type=int, default=15)
    args = parser.parse_args()
    height = round((args.megapixels * 1e6 * 3 / 4) ** 0.5)
    layer = np.random.default_rng(0).integers(0, 256, (height, height * 4 // 3, 4), np.uint8)
    job = new_id()
    header = {"job": job, "box": [0, 0, layer.shape[1], height], "report": {"notes": []}}
    source, target = raster(layer), raster(layer[:, :, :3])
    sent = [source.data, target.data]
    out, bare_out, accepted, read, bare_in = [], [], [], [], []
    context = zmq.Context()
    with scene_of_its_own() as scene, tempfile.TemporaryDirectory(prefix="dib-") as folder:
        # Put there as the daemon does it: to compute twelve megapixels would take minutes and change nothing.
        Disk(scene.results).write(ME, {}, Message("result", header, {"layer": raster(layer)}))
        scene.up()
        print(f"{jobs_a_second(scene):.1f} jobs/s")
        address = f"ipc://{folder}/echo"
        process = multiprocessing.get_context("spawn").Process(target=echo, args=(address, layer.nbytes))
        process.start()
        dealer = context.socket(zmq.DEALER)
        dealer.connect(address)
        with scene.client() as client:
            for _ in range(args.times + 1):
                began = time.monotonic()
                client.fetch(job)
                result = until(client, job, "result")
                out.append(time.monotonic() - began)
                assert len(result.rasters["layer"].data) == layer.nbytes
                began = time.monotonic()
                dealer.send(b"?")
                dealer.recv_multipart(copy=False)
                bare_out.append(time.monotonic() - began)
            assert bytes(result.rasters["layer"].data) == layer.tobytes()
            for _ in range(args.times + 1):
                began = time.monotonic()
                refused = client.submit(source, target, None, (0, 0), {"device": "cuda:99"})
                until(client, refused, "accepted")
                accepted.append(time.monotonic() - began)
                until(client, refused, "failed")
                read.append(time.monotonic() - began)
                began = time.monotonic()
                dealer.send_multipart([b"head", *sent], copy=False)
                dealer.recv_multipart(copy=False)
                bare_in.append(time.monotonic() - began)
        dealer.send(b"")
        process.join(10)
    context.destroy(0)
    rows = [("fetch of a kept result", out, layer.nbytes), ("bare echo", bare_out, layer.nbytes)]
    size = sum(len(data) for data in sent)
    rows += [("submit, to the broker", accepted, size), ("submit, to the worker", read, size), ("bare send", bare_in, size)]
    middle = [statistics.median(seconds[1:]) for _, seconds, _ in rows]
    for (name, _, size), seconds in zip(rows, middle, strict=True):
        print(f"{name:24} {1000 * seconds:7.1f} ms  {size / seconds / 1e6:7.0f} MB/s")
    ratios = middle[0] / middle[1], middle[2] / middle[4], middle[3] / middle[4]
    print("times the bare echo: {:.2f} fetched, {:.2f} submitted to the broker, {:.2f} to the worker".format(*ratios))


if __name__ == "__main__":
    main()
