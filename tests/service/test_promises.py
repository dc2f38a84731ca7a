"""The broker's promises over some hundred sequences of events; `benchmarks/broker.py` runs any number."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from promises import Promises

TestPromises = Promises.TestCase
TestPromises.settings = settings(max_examples=150, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck))
