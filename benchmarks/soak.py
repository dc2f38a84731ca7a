"""Many small jobs from several clients who cancel, finish, vanish and send again: does each job end once, rightly, and does nothing leak?

    python benchmarks/soak.py [--jobs N] [--clients N] [--seed N]

Each client is an owner of its own with one or two jobs at a time, of a few kinds. For each job chance decides what befalls it: nothing,
`cancel`, `finish`, its submit sent twice, or its connection cut, with and without `keep`. Every job must end in exactly one state; every
result of one that ran to its end must be, byte for byte, the one that its kind had when it was computed alone before. Memory of broker and
worker after a quarter of the jobs is compared with that at the end; descriptors, shared memory and files likewise. The last line has the
figures; the exit code is 1 if anything was not as it must be.
"""

from __future__ import annotations

import argparse
import random
import time
from collections import Counter
from pathlib import Path
from typing import Any

import load

# isort: split
from daemons import kept, until
from scene import Scene, new_id, scene_of_its_own

from blend_protocol import messages
from blend_protocol.client import Message

GROWTH = 5.0  # % of memory
KINDS: list[dict[str, Any]] = [{"iterations": n, "seed": n, "colour": colour} for n in (3, 4, 6) for colour in (20, 50, 80)]
FATES = ["nothing"] * 4 + ["cancel", "finish", "twice", "cut", "cut and keep"]


class User:
    """One client, whose connections come and go."""

    def __init__(self, scene: Scene, number: int, chance: random.Random) -> None:
        self._scene, self._key, self._chance = scene, f"{number:032x}", chance
        self.client = scene.client(self._key)
        self.jobs: dict[str, tuple[dict[str, Any], str]] = {}
        self.ends: Counter[str] = Counter()
        self.wrong: list[str] = []
        self._ended: set[str] = set()

    def begin(self, alone: dict[str, bytes]) -> None:
        """Send a job, and let chance have its way."""
        self._alone = alone
        kind, fate, job = self._chance.choice(KINDS), self._chance.choice(FATES), new_id()
        self._scene.send(self.client, kind, job=job, keep=fate == "cut and keep")
        if fate == "twice":
            self._scene.send(self.client, kind, job=job)
        self.jobs[job] = (kind, fate)

    def act(self) -> None:
        """Read what came; cancel, finish or vanish now and then."""
        for message in self.client.pump():
            self._hear(message)
        for job, (_, fate) in list(self.jobs.items()):
            if self._chance.random() < 0.2:
                if fate == "cancel":
                    self.client.cancel(job)
                elif fate == "finish":
                    self.client.finish(job)
                elif fate.startswith("cut"):
                    self._vanish()
                    return

    def _hear(self, message: Message) -> None:
        job = message.header.get("job")
        if message.type not in messages.LAST:
            return
        if job not in self.jobs:
            if job not in self._ended:
                self.wrong.append(f"an end of an unknown job: {message.header}")
            elif message.type != "result":
                self.wrong.append(f"a second end: {message.header}")
            return
        kind, fate = self.jobs.pop(job)
        self._ended.add(job)
        self.ends[message.type] += 1
        if message.type == "failed":
            self.wrong.append(f"failed: {message.header}")
        elif message.type == "cancelled" and fate not in ("cancel", "finish"):
            self.wrong.append(f"cancelled without being asked: {fate}")
        elif message.type == "result":
            # One that was finished early is what it was by then.
            if fate != "finish" and bytes(message.rasters["layer"].data) != self._alone[str(kind)]:
                self.wrong.append(f"another picture than alone: {kind}")
            self.client.release(job, timeout=0.001)

    def _vanish(self) -> None:
        self.client.close()
        self.client = self._scene.client(self._key)
        for job, (kind, fate) in list(self.jobs.items()):
            # Sent again under the same id: what runs, or ran, goes on as it was; what was given up is answered, or begun anew.
            self.jobs[job] = (kind, "nothing" if fate == "cut and keep" else "cancel")
            self._scene.send(self.client, kind, job=job, keep=True)


def soak(scene: Scene, count: int, clients: int, seed: int) -> tuple[str, bool]:
    """A line of figures, and whether all is well."""
    chance = random.Random(seed)
    scene.up()
    with scene.client() as client:
        alone = {}
        for kind in KINDS:
            job = scene.send(client, kind)
            alone[str(kind)] = bytes(until(client, job, "result").rasters["layer"].data)
            client.release(job)
        worker = client.status(20)["worker"]
    pids = {"broker": scene.daemon.process.pid, "worker": worker}
    users = [User(scene, k + 1, chance) for k in range(clients)]
    for user in users:
        user.client.status(20)  # connected, and so among what is held early
    began, sent, early = time.monotonic(), 0, {}
    shared = set(Path("/dev/shm").iterdir())
    while sent < count or any(user.jobs for user in users):
        for user in users:
            if sent < count and len(user.jobs) < 2 and chance.random() < 0.5:
                user.begin(alone)
                sent += 1
            user.act()
        if sent >= count / 4 and not early:
            early = {name: load.held(pid) for name, pid in pids.items()}
        time.sleep(0.01)
        assert time.monotonic() - began < 60 + 5 * count, [user.jobs for user in users]
    ends = sum((user.ends for user in users), Counter())
    wrong = [word for user in users for word in user.wrong]
    for user in users:
        left = kept(user.client)
        wrong += [f"left in the list: {entry}" for entry in left if not entry.get("cut")]
        for entry in left:
            user.client.release(entry["job"])
        user.client.close()
    with scene.client() as client:
        status = client.status(20)
        wrong += [f"at the end: {status}"] if (status["worker"], status["running"], status["waiting"]) != (worker, None, 0) else []
        late = {name: load.held(pid) for name, pid in pids.items()}
    wrong += [f"a file is left: {path.name}" for path in scene.results.iterdir()]
    wrong += [f"shared memory is left: {path}" for path in set(Path("/dev/shm").iterdir()) - shared]
    growth = {name: 100 * (late[name]["MB"] / early[name]["MB"] - 1) for name in pids}
    descriptors = {name: late[name]["descriptors"] - early[name]["descriptors"] for name in pids}
    for word in wrong[:20]:
        print(word)
    seconds = time.monotonic() - began
    line = f"{count} jobs of {clients} clients in {seconds:.0f} s: {dict(ends)}, {len(wrong)} wrong; "
    for name in pids:
        line += (
            f"{name} {early[name]['MB']:.0f} -> {late[name]['MB']:.0f} MB ({growth[name]:+.1f} %), {descriptors[name]:+.0f} descriptors; "
        )
    well = not wrong and sum(ends.values()) == count and max(growth.values()) < GROWTH and max(descriptors.values()) <= 0
    return line + ("well" if well else "NOT WELL"), well


def main() -> int:
    """Returns 1 if anything was not as it must be."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    with scene_of_its_own() as scene:
        line, well = soak(scene, args.jobs, args.clients, args.seed)
    print(line)
    return int(not well)


if __name__ == "__main__":
    raise SystemExit(main())
