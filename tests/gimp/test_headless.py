"""A real GIMP without a screen, called through the PDB, with the real daemon and the real engine."""

from __future__ import annotations

import ast
import json
import re
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
TREES = [ast.parse(file.read_text()) for file in sorted(HERE.glob("cases_*.py"))]
NAMES = [f.name for tree in TREES for f in tree.body if isinstance(f, ast.FunctionDef) and f.decorator_list]
BRIDGED = {"sixteen_bits", "the_same_seed_gives_the_same_pixels", "a_learned_model", "a_model_that_is_not_there_is_refused",
           "a_result_that_nobody_took_is_recovered", "a_layer_deleted_meanwhile", "an_address_where_no_daemon_is"}  # fmt: skip
# GIMP's own plug-ins complain too, of a closed pipe when GIMP quits; ours are meant.
TROUBLE = re.compile(
    r"Traceback|GEGL-CRITICAL|crashed|deep-image-blending\.py.*(?:WARNING|CRITICAL)(?!.*gimp_flush\(\): error: Broken pipe)"
)


@pytest.fixture(scope="module")
def run(gimp, daemon, request):
    """All cases that are asked for in one GIMP: its start takes longer than they do."""
    chosen = [item.callspec.params for item in request.session.items if item.module is request.module]
    cases = {params.get("name") for params in chosen if params["gimp"] == gimp.version}
    try:
        done = gimp.run(HERE / "run_cases.py", CASES=",".join(cases - {None}))
    except subprocess.TimeoutExpired as late:  # what was done until then counts
        output, errors = ((part or b"").decode(errors="replace") for part in (late.stdout, late.stderr))
        done = subprocess.CompletedProcess(late.cmd, -9, output, f"{errors}GIMP had not ended after {late.timeout} s.")
    results = Path(gimp.environment["WORK"]) / "results.json"
    assert results.exists(), done.stdout + done.stderr
    return json.loads(results.read_text()), done


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.bridge] if name in BRIDGED else []) for name in NAMES])
def test_case(run, name):
    results, done = run
    assert name in results, f"not reached. {done.stdout[-3000:]}{done.stderr[-3000:]}"
    assert results[name] == "ok", results[name]


@pytest.mark.bridge
def test_gimp_is_content(run):
    assert run[1].returncode == 0, run[1].stderr
    assert not TROUBLE.search(run[1].stderr), run[1].stderr
