"""A daemon whose workers are actors of a real Ray cluster of two nodes. About half a minute."""

from __future__ import annotations

import os
import signal

import pytest
from clusters import cluster_of
from daemons import Daemon, array, eventually, loaded, raster, until, wait_for

from blend_protocol.client import Client

POISSON = {"method": "poisson"}
LONG = {"preset": "draft", "iterations": 100}


@pytest.fixture(scope="module")
def cluster():
    with cluster_of(2) as cluster:
        yield cluster


@pytest.fixture
def daemon(cluster):
    daemon = Daemon()
    daemon.environment.update(cluster.environment)
    yield daemon
    daemon.remove()
