from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from command import run
from pictures import save


@pytest.fixture(scope="session")
def cases(tmp_path_factory, cat, coffee, disc) -> Path:
    """A folder of two small cases: one with an offset, one aligned, grey and of 16 bits."""
    folder = tmp_path_factory.mktemp("cases")
    for name in ("cat & coffee", "grey"):
        (folder / name).mkdir()
    save(folder / "cat & coffee/source.png", cat)
    save(folder / "cat & coffee/mask.png", disc)
    save(folder / "cat & coffee/target.png", coffee)
    (folder / "cat & coffee/offset").write_text("20,10\n")
    save(folder / "grey/source.png", cat)
    save(folder / "grey/mask.png", disc)
    save(folder / "grey/target.png", coffee[16:80, 24:104, :1].astype(np.uint16) * 257)
    return folder


@pytest.fixture(scope="session")
def compared(cases, tmp_path_factory) -> Path:
    """The cases compared with three quick methods, and one that fails for want of its weights."""
    output = tmp_path_factory.mktemp("compared") / "out"
    environment = {**os.environ, "BLEND_DAEMON_WEIGHTS_DIR": str(output.parent / "none")}
    done = run(cases, "--methods", "deep,copy-paste,alpha,poisson", "--output", output, "--jobs", 2, env=environment)
    assert done.returncode == 0, done.stderr
    (output.parent / "stdout").write_text(done.stdout)
    (output.parent / "stderr").write_text(done.stderr)
    return output
