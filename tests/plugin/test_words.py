"""What a translation says for the errors that reach the plug-in."""

from __future__ import annotations

import ast
from pathlib import Path

from update_catalogues import PLUGIN

PROJECT = Path(__file__).resolve().parents[2]
# What only a fault of the plug-in itself could bring about, or who looks after the daemon is told.
OURS_TO_AVOID = {
    "raster-invalid", "size-mismatch", "mask-missing", "pair-invalid", "pair-exists", "pair-unknown", "keys", "results-unreadable",
    "already-running", "socket-in-use", "socket-busy", "not-permitted", "metrics-address", "no-such-job", "memory-short", "job-unknown",
    "solver-too-large", "target-misplaced", "target-cut-off", "listen-failed", "socket-failed",
    "fleet-missing", "fleet-refused", "fleet-unguarded", "fleet-out-of-reach",
}  # fmt: skip


def codes() -> set[str]:
    """The codes of all errors that the engine, the service and the protocol raise."""
    found = set()
    for folder in ("blend_daemon/engine", "blend_daemon/service", "blend_protocol"):
        for file in (PROJECT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "BlendError" and isinstance(node.args[0], ast.Constant):
                    found.add(node.args[0].value)
    return found


def test_every_error_that_a_user_may_meet_has_words():
    tree = ast.parse((PLUGIN / "dib/words.py").read_text())
    table = next(node.value for node in tree.body if isinstance(node, ast.Assign) and node.targets[0].id == "SENTENCES")
    told = {row.elts[0].value for row in table.elts}
    assert "target-transparent" in told
    assert codes() - told - OURS_TO_AVOID == set()
