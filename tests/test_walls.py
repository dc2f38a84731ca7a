"""Which part may know which: the arrows of docs/architecture.md."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {"torch", "numpy", "scipy", "PIL", "pyvips"}

PROJECT = Path(__file__).resolve().parent.parent
PROTOCOL = PROJECT / "blend_protocol"


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


def test_all_that_the_plug_in_needs_imports_without_pyzmq():
    modules = [f"blend_protocol.{path.stem}" for path in sorted(PROTOCOL.glob("*.py")) if path.stem not in ("__init__", "zeromq")]
    code = f"import sys; sys.modules['zmq'] = None; import {', '.join(modules)}; print('blend_protocol.zeromq' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


WINDOWS = """
import importlib, sys, types
import asyncio, cv2, imagecodecs, numpy, onnx, onnxruntime, PIL.Image, pyvips, rich.progress, safetensors, scipy.sparse, tifffile, torch
import zmq.asyncio
# Stands for Windows, which no test runs on: what is POSIX's alone is hidden, and there is a module of Windows's.
for name in ("fcntl", "pwd", "resource", "grp", "termios"):
    sys.modules[name] = None
sys.modules["msvcrt"] = types.ModuleType("msvcrt")
sys.platform = "win32"
for name in sys.argv[1:]:
    importlib.import_module(name)
"""


def test_every_module_imports_where_there_is_nothing_of_posix():
    files = [path.relative_to(PROJECT) for package in ("blend_daemon", "blend_protocol") for path in (PROJECT / package).rglob("*.py")]
    modules = [".".join(file.with_suffix("").parts).removesuffix(".__init__") for file in files if file.stem != "__main__"]
    tried = subprocess.run([sys.executable, "-c", WINDOWS, *modules], capture_output=True, text=True)
    assert tried.returncode == 0, tried.stderr
