from __future__ import annotations

import random

import pytest

from blend_daemon.service.jobs import ENDED, IN_ALL, PER_OWNER, PICTURES, REMEMBERED, Job, Queue, State
from blend_protocol.errors import BlendError


def add(queue: Queue, owner: str, id: str) -> Job:
    job = Job(id, owner, b"connection", "work")
    queue.add(job)
    return job


def drain(queue: Queue) -> list[str]:
    order = []
    while job := queue.next():
        order.append(job.id)
        queue.end(job, State.DONE, "last")
    return order


def test_owners_take_turns():
    queue = Queue()
    for id in ("a1", "a2", "a3"):
        add(queue, "a", id)
    for id in ("b1", "b2"):
        add(queue, "b", id)
    assert [job.id for job in queue.waiting()] == ["a1", "b1", "a2", "b2", "a3"]
    assert drain(queue) == ["a1", "b1", "a2", "b2", "a3"]


def test_a_late_owner_need_not_wait_for_all_of_anothers_jobs():
    queue = Queue()
    for id in ("a1", "a2", "a3"):
        add(queue, "a", id)
    first = queue.next()
    assert first.id == "a1"
    late = add(queue, "b", "b1")
    assert queue.position(late) == 2
    queue.end(first, State.DONE, None)
    assert drain(queue) == ["a2", "b1", "a3"]


def test_a_job_that_is_put_back_is_the_next():
    queue = Queue()
    for owner, id in (("a", "a1"), ("a", "a2"), ("b", "b1")):
        add(queue, owner, id)
    queue.put_back(queue.next())
    assert queue.running == []
    assert drain(queue) == ["a1", "b1", "a2"]


def test_each_worker_takes_one_and_the_others_wait():
    queue = Queue()
    jobs = [add(queue, "a", id) for id in "123"]
    assert [queue.next(), queue.next()] == jobs[:2]
    assert queue.running == jobs[:2]
    assert [queue.position(job) for job in jobs] == [0, 0, 2]
    assert [job.state for job in jobs] == [State.RUNNING, State.RUNNING, State.QUEUED]


def test_pictures_that_wait_are_bounded_but_one_is_always_taken():
    queue = Queue()
    queue.add(Job("1", "a", b"", "work", size=2 * PICTURES))
    with pytest.raises(BlendError, match=r"8\.6 GB") as error:
        queue.add(Job("2", "b", b"", "work", size=1))
    assert error.value.code == "queue-full"
    queue.next()
    queue.add(Job("2", "b", b"", "work", size=PICTURES - 1))
    queue.add(Job("3", "c", b"", "work", size=1))


def test_a_waiting_job_can_end():
    queue = Queue()
    add(queue, "a", "1")
    other = add(queue, "a", "2")
    queue.end(other, State.CANCELLED, "word")
    assert drain(queue) == ["1"]
    assert queue.find("a", "2").last == "word"


def test_a_job_is_its_clients_alone():
    queue = Queue()
    add(queue, "a", "1")
    assert queue.find("b", "1") is None
    queue.next()
    assert queue.find("b", "1") is None
    assert queue.find("a", "1").state is State.RUNNING


def test_an_ended_job_lets_go_of_its_pixels_and_is_forgotten_in_time():
    queue = Queue()
    for k in range(REMEMBERED + 1):
        add(queue, "a", str(k))
        queue.end(queue.next(), State.DONE, k)
    assert queue.find("a", "0") is None
    last = queue.find("a", str(REMEMBERED))
    assert (last.work, last.last) == (None, REMEMBERED)


def test_the_queue_is_bounded_for_each_and_for_all():
    queue = Queue()
    for k in range(PER_OWNER):
        add(queue, "a", str(k))
    with pytest.raises(BlendError) as error:
        add(queue, "a", "more")
    assert error.value.code == "queue-full"
    for k in range(IN_ALL - PER_OWNER):
        add(queue, str(k // PER_OWNER).encode(), str(k))
    with pytest.raises(BlendError):
        add(queue, "new", "more")
    assert len(queue) == IN_ALL


@pytest.mark.parametrize("seed", range(20))
def test_whatever_happens_each_job_ends_once_and_the_positions_are_the_order(seed):
    chance = random.Random(seed)
    queue, live, ended = Queue(), [], []
    for k in range(300):
        event = chance.choice(["add", "add", "next", "end"])
        if event == "add" and len(live) < PER_OWNER:
            live.append(add(queue, chance.choice(["a", "b", b"c"]), str(k)))
        elif event == "next":
            first = next(iter(queue.waiting()), None)
            taken = queue.next()
            assert taken is None or taken is first
        elif event == "end" and live:
            job = live.pop(chance.randrange(len(live)))
            queue.end(job, chance.choice(ENDED), "last")
            ended.append(job)
        in_order = [*queue.running, *queue.waiting()]
        assert sorted(job.id for job in in_order) == sorted(job.id for job in live)
        assert [queue.position(job) for job in queue.waiting()] == list(range(len(queue.running), len(in_order)))
        assert [job for job in live if job.state is State.RUNNING] == sorted(queue.running, key=live.index)
        assert all(job.state in ENDED and job.last == "last" for job in ended)
