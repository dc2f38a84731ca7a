from __future__ import annotations

import os
import subprocess

import pytest
from installed import COMMAND, here
from pictures import save


@pytest.fixture
def case(tmp_path, cat, coffee, disc):
    """Paths of a source, a mask and a target, and a function that runs the command on them: a few iterations, unless told otherwise."""

    class Case:
        folder = tmp_path
        source, mask, target, out = (tmp_path / f"{name}.png" for name in ("source", "mask", "target", "out"))

        def words(self, **changes) -> list[str]:
            given = {
                "source": self.source, "mask": self.mask, "target": self.target, "offset": "20,10", "output": self.out, "preset": "draft",
                **({} if "method" in changes else {"iterations": 4}), **changes,
            }  # fmt: skip
            return ["blend", *(f"--{k}={v}" if v is not True else f"--{k}" for k, v in given.items() if v is not None)]

        def run(self, environment=None, **changes) -> subprocess.CompletedProcess:
            """In this process, unless it is to have an environment of its own."""
            words = self.words(**changes)
            if environment is not None:
                return subprocess.run([COMMAND, *words], capture_output=True, text=True, env={**os.environ, **environment}, timeout=120)
            return here(words)

    case = Case()
    save(case.source, cat)
    save(case.mask, disc)
    save(case.target, coffee)
    return case
