"""What is said of the time left, with a clock of the test's own."""

from __future__ import annotations

import pytest

from blend_daemon.engine import progress


@pytest.fixture
def now(monkeypatch) -> list[float]:
    """The time, to be moved on."""
    moment = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: moment[0])
    return moment


def test_the_time_left_is_near_the_truth_from_the_second_evaluation_on(now):
    """Seconds as two cores took them for the shipped example with `standard`, on 2026-11-26: (count, cost, first one's, each other's)."""
    scales = [(30, 1 / 16, 3.6, 0.21), (22, 1 / 4, 7.2, 0.85), (10, 1 / 2, 9.9, 1.9)]
    clock = progress.Clock()
    now[0] += 60  # reading, loading: that is no measure of what follows
    clock.plan([(count, cost) for count, cost, *_ in scales])
    left = sum(first + (count - 1) * each for count, _cost, first, each in scales)
    for count, _cost, first, each in scales:
        for number in range(count):
            now[0] += each if number else first
            left -= each if number else first
            told = clock.advance()
            if number + left == 0:
                assert told == 0
            elif told is not None:
                assert 0.6 * left < told < 1.5 * left + 1, (number, left)
    assert told == 0


def test_of_the_first_evaluation_alone_nothing_is_said(now):
    clock = progress.Clock()
    clock.plan([(3, 1.0)])
    now[0] += 5
    assert clock.advance() is None
    now[0] += 1
    assert clock.advance() == 1


def test_a_new_plan_counts_from_there(now):
    clock = progress.Clock()
    clock.plan([(10, 1.0)])
    for _ in range(4):
        now[0] += 2
        clock.advance()
    clock.plan([(4, 1.0)])
    now[0] += 3
    assert clock.advance() == 6
