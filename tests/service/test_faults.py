"""The quick half of the table of faults; `benchmarks/faults.py` runs all of it, many times and in random order."""

from __future__ import annotations

import os

import disk_faults  # noqa: F401 - enters its part into the table
import network_faults  # noqa: F401 - and this one
import process_faults  # noqa: F401 - and this one
import pytest
import wire_faults  # noqa: F401 - and this one
from scene import FAULTS, Scene


@pytest.fixture(scope="module")
def scene():
    scene = Scene()
    yield scene
    scene.daemon.remove()


def test_the_table_has_thirty_faults_with_names_and_promises():
    assert len({fault.name for fault in FAULTS}) == len(FAULTS) >= 30
    assert all(fault.promise for fault in FAULTS)


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault.quick], ids=lambda fault: fault.name)
def test_fault(fault, scene):
    if fault.root and os.getuid() != 0:
        pytest.skip("needs root")
    scene.up()
    fault.run(scene)
    scene.check()
