"""The short form of two proofs that are commands: broken messages, and many jobs from clients who come and go."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.mark.parametrize("words", [("fuzz.py", "--messages", "4000"), ("soak.py", "--jobs", "40")], ids=lambda words: words[0])
def test_proof(words):
    done = subprocess.run([sys.executable, BENCHMARKS / words[0], *words[1:]], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
