"""Which part may know which: the arrows of docs/architecture.md."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

PLUGIN = Path(__file__).resolve().parents[1] / "gimp_plugin/deep-image-blending"
HEAVY = {"torch", "numpy", "scipy", "PIL", "pyvips"}


@pytest.mark.parametrize(
    ("modules", "forbidden"),
    [
        ("blend_protocol.client, blend_protocol.messages, blend_protocol.runtime", {*HEAVY, "blend_daemon.engine"}),
        ("blend_daemon.service.server, blend_daemon.service.jobs", {*HEAVY, "blend_daemon.engine"}),
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
