"""Which part may know which: the arrows of docs/architecture.md."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {"torch", "numpy", "scipy", "PIL", "pyvips"}


@pytest.mark.parametrize(
    ("modules", "forbidden"),
    [
        ("blend_protocol.client, blend_protocol.messages, blend_protocol.runtime", {*HEAVY, "blend_daemon.engine"}),
        ("blend_daemon.service.broker", {*HEAVY, "blend_daemon.engine", "blend_daemon.service.io", "asyncio", "zmq"}),
        ("blend_daemon.service.io.daemon", {*HEAVY, "blend_daemon.engine"}),
        ("blend_daemon.engine.blending, blend_daemon.engine.methods.paper", {"zmq", "blend_daemon.service", "gi"}),
        ("blend_daemon.scores", {"torch", "PIL", "pyvips", "zmq", "blend_daemon.engine", "blend_protocol"}),
        ("blend_daemon.comparison.compare, blend_daemon.comparison.blind", {"torch", "gi", "zmq", "blend_daemon.service"}),
        ("blend_protocol.presets, blend_daemon.cli", {"torch", "numpy", "zmq"}),
    ],
)
def test_wall(modules, forbidden):
    code = f"import sys, {modules}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not forbidden & set(loaded)
