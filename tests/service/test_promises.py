"""The broker's promises over some hundred sequences of events; `benchmarks/broker.py` runs any number."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from promises import Promises

TestPromises = Promises.TestCase
TestPromises.settings = settings(max_examples=200, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck))


def test_the_last_word_of_a_job_that_was_cut_off_is_no_answer_to_a_sketch_of_its_name():
    machine = Promises()
    machine.begin(retries=0)
    first, second = (f"{number:032x}" for number in range(2))
    for job in (first, second):
        machine.submit(number=0, job=job, size=1, keep=False)
    machine.work(worker=0)  # the first, whose result is on its way to the disk, so that the daemon does not end yet
    machine.read_order(worker=0)  # the second
    machine.stop(how="signal", worker=0)
    machine.wait_a_week()
    machine.ask(number=0, type="hello")  # time is up
    machine.sketch(number=0, job=second, size=1)
    machine.compute(worker=0, outcome="result")
    machine.teardown()
