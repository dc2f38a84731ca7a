"""Which part may know which: the arrows of docs/architecture.md."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {"torch", "numpy", "scipy", "PIL", "pyvips"}

PROJECT = Path(__file__).resolve().parent.parent
PROTOCOL = PROJECT / "blend_protocol"
PLUGIN = PROJECT / "gimp_plugin/deep-image-blending"


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
        ("dib.job.session, dib.job.sketcher, dib.job.kept", {*HEAVY, "gi", "blend_daemon", "dib.gimp", "dib.ui"}),
    ],
)
def test_wall(modules, forbidden):
    code = f"import sys, {modules}; print(*sys.modules)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(PLUGIN), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert not forbidden & set(done.stdout.split())


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


def imported(file: Path) -> set[str]:
    """Every module that a file imports, at its top or within, and the names that it takes from them as modules too."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def test_libgimp_is_touched_in_one_folder_of_the_plug_in_and_where_its_procedures_are():
    touching = {file for file in PLUGIN.rglob("*.py") if {"gi.repository.Gimp", "gi.repository.Gegl"} & imported(file)}
    assert touching == {*(PLUGIN / "dib/gimp").glob("[!_]*.py"), PLUGIN / "dib/procedures.py", PLUGIN / "deep-image-blending.py"}


def test_gimp_knows_no_window():
    for file in (PLUGIN / "dib/gimp").glob("*.py"):
        assert not [name for name in imported(file) if name.startswith(("dib.ui", "gi.repository.Gtk"))], file


def test_the_plug_in_needs_no_more_than_gi_pyzmq_and_the_standard_library():
    ours = {"gi", "zmq", "dib", "blend_protocol"}
    for file in PLUGIN.rglob("*.py"):
        roots = {name.split(".")[0] for name in imported(file)}
        assert roots <= {*sys.stdlib_module_names, *ours}, file
