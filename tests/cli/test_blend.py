"""The real command in a process of its own, with the real network."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
from contextlib import suppress

import numpy as np
import pytest
import pyvips
from daemons import Client, until
from installed import here, started
from pictures import load, save

INSIDE = (slice(10 + 16, 10 + 48), slice(20 + 24, 20 + 56))


def mask_on_canvas(disc, shape=(96, 128), offset=(20, 10)):
    canvas = np.zeros(shape, np.uint8)
    for y, x in zip(*np.nonzero(disc), strict=True):
        v, u = y + offset[1], x + offset[0]
        if 0 <= v < shape[0] and 0 <= u < shape[1]:
            canvas[v, u] = disc[y, x]
    return canvas


@pytest.mark.parametrize("kind", ["grey", "grey alpha", "rgb", "rgba"])
@pytest.mark.parametrize("depth", [8, 16])
def test_the_output_is_the_target_outside_the_mask_in_its_mode_and_depth(kind, depth, case, coffee, disc):
    alpha = np.full((96, 128, 1), 200, np.uint8)
    target = {
        "grey": coffee[:, :, :1], "grey alpha": np.dstack([coffee[:, :, :1], alpha]), "rgb": coffee, "rgba": np.dstack([coffee, alpha]),
    }[kind]  # fmt: skip
    if depth == 16:
        target = target.astype(np.uint16) * 256 + 5
    save(case.target, target)
    done = case.run()
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "")
    out = load(case.out)
    assert (out.shape, out.dtype) == (target.shape, target.dtype)
    outside = mask_on_canvas(disc) == 0
    assert np.array_equal(out[outside], target[outside])
    assert (out[INSIDE] != target[INSIDE]).any(axis=2).mean() > 0.5


def test_layer_and_metadata(case, coffee, disc):
    layer, metadata = case.folder / "layer.png", case.folder / "m.json"
    assert case.run(layer=layer, metadata=metadata, seed=7, iterations=None).returncode == 0
    pixels, out = load(layer), load(case.out)
    assert pixels.shape == (96, 128, 4)
    assert np.array_equal(pixels[:, :, 3], mask_on_canvas(disc))
    assert np.array_equal(np.where(pixels[:, :, 3:] == 255, pixels[:, :, :3], coffee), out)
    report = json.loads(metadata.read_text())
    assert (report["preset"], report["seed"], report["device"], report["offset"]) == ("draft", 7, "cpu", [20, 10])
    assert {"weights", "versions", "seconds", "losses"} <= set(report)


def test_the_alpha_is_the_mask_when_none_is_given(case, cat, coffee, disc):
    save(case.source, np.dstack([cat, disc]))
    assert case.run(mask=None).returncode == 0
    changed = (load(case.out) != coffee).any(axis=2)
    inside = mask_on_canvas(disc) > 0
    assert not changed[~inside].any()
    assert changed[inside].mean() > 0.9


@pytest.mark.parametrize("words", [["--offset", "-30,-20"], ["--offset=-30,-20"]])
def test_a_negative_offset(words, case, coffee, disc):
    assert here([*case.words(offset=None), *words]).returncode == 0
    outside = mask_on_canvas(disc, offset=(-30, -20)) == 0
    assert np.array_equal(load(case.out)[outside], coffee[outside])


def test_the_daemon_gives_the_same_bytes(case, fresh_daemon):
    environment = {k: v for k, v in fresh_daemon.environment.items() if k.startswith("BLEND_DAEMON")}
    assert case.run({}, output=case.folder / "here.png", iterations=None).returncode == 0
    done = case.run(environment, daemon=True, iterations=None)
    assert (done.returncode, done.stderr) == (0, "")
    assert case.out.read_bytes() == (case.folder / "here.png").read_bytes()
    assert fresh_daemon.command("status").returncode == 0, "the daemon that was started on demand goes on"


def test_of_a_large_target_a_part_is_computed_and_the_output_is_whole(case, fresh_daemon, coffee):
    environment = {k: v for k, v in fresh_daemon.environment.items() if k.startswith("BLEND_DAEMON")}
    canvas = np.ascontiguousarray(np.tile(coffee, (6, 6, 1))[:500, :700])
    save(case.target, canvas)
    for method in ("deep", "color-transfer"):
        assert case.run({}, output=case.folder / "here.png", offset="300,210", method=method).returncode == 0
        assert case.run(environment, daemon=True, offset="300,210", method=method).returncode == 0
        assert case.out.read_bytes() == (case.folder / "here.png").read_bytes()
        changed = (load(case.out) != canvas).any(axis=2)
        assert changed.any()
        changed[210 + 8 : 210 + 56, 300 + 16 : 300 + 64] = False
        assert not changed.any()


def test_a_jpeg_is_written_with_a_word_of_warning(case):
    done = case.run(output=case.folder / "out.jpg")
    assert done.returncode == 0
    assert done.stderr.count("\n") == 1
    assert "lossy" in done.stderr
    assert case.run(output=case.folder / "out.jpg", quiet=True).stderr == ""


def on_a_terminal(words: list[str], environment=None, at="", act=lambda process: None, code=0) -> str:
    """What the command shows on a terminal until it ends with that exit code; `act` is done to it once, when it has shown `at`."""
    master, slave = pty.openpty()
    environment = {**os.environ, **(environment or {}), "TERM": "xterm", "COLUMNS": "100"}
    shown, acted = b"", False
    with started(*words, stderr=slave, stdout=slave, env=environment) as process:
        os.close(slave)
        alarm = threading.Timer(120, process.kill)
        alarm.start()
        with suppress(OSError):  # where nobody writes any more
            while part := os.read(master, 4096):
                shown += part
                if not acted and at in shown.decode(errors="replace"):
                    acted = True
                    act(process)
        alarm.cancel()
        assert process.wait(60) == code, shown
    os.close(master)
    return shown.decode()


def test_a_progress_bar_on_a_terminal_alone(case):
    words = case.words(iterations=None)
    shown = on_a_terminal(words)
    assert "stage 1" in shown
    assert "loss" in shown
    assert on_a_terminal([*words, "--quiet"]) == ""


def test_a_blend_that_has_to_wait_says_for_how_many_and_how_long(case, fresh_daemon, send):
    fresh_daemon.start()
    with Client(fresh_daemon.address) as client:
        until(client, send(client), "result")  # what one takes is known from now on
        running, _ = send(client, {"preset": "paper"}), send(client)
        while until(client, running, "progress").header["seconds_left"] is None:
            pass
        shown = on_a_terminal(case.words(daemon=True), fresh_daemon.environment, at="Waiting", act=lambda _: client.cancel(running))
    plain = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", shown)  # without colours
    assert re.search(r"Waiting: 2 before this one, \d+ s to its start\.", plain)
    assert case.out.exists()


def broken(case, kind: str) -> dict:
    """Change the case so that it must be refused; returns changed arguments."""
    folder = case.folder
    match kind:
        case "no source":
            return {"source": folder / "nothing.png"}
        case "a folder as source":
            return {"source": folder}
        case "text as target":
            case.target.write_text("hello")
        case "a truncated png":
            case.target.write_bytes(case.target.read_bytes()[:3000])
        case "a truncated jpeg":
            pyvips.Image.new_from_file(str(case.target)).write_to_file(str(folder / "t.jpg"))
            (folder / "t.jpg").write_bytes((folder / "t.jpg").read_bytes()[:2000])
            return {"target": folder / "t.jpg"}
        case "sizes that disagree":
            save(case.mask, load(case.mask)[:20])
        case "an empty mask":
            save(case.mask, load(case.mask) * 0)
        case "a mask off the target":
            return {"offset": "500,0"}
        case "a mask over all of the target":
            save(case.mask, np.full((64, 80), 255, np.uint8))
            save(case.target, load(case.target)[:64, :80])
            return {"offset": "0,0"}
        case "a coloured mask":
            save(case.mask, load(case.source))
        case "no mask at all":
            return {"mask": None}
        case "too large a picture":
            pyvips.Image.black(20000, 6000).write_to_file(str(folder / "huge.png"))
            return {"target": folder / "huge.png"}
        case "cmyk":
            pyvips.Image.new_from_file(str(case.target)).colourspace("cmyk").write_to_file(str(folder / "c.tif"))
            return {"target": folder / "c.tif"}
        case "no such folder":
            return {"output": folder / "nowhere/out.png"}
        case "a folder as output":
            return {"output": folder}
        case "an output that is an input":
            return {"output": case.target}
        case "an output without a format":
            return {"output": folder / "out.xyz"}
        case "a format that is too small":
            save(case.target, load(case.target).astype(np.uint16) * 256)
            return {"output": folder / "out.jpg"}
        case "an unknown device":
            return {"device": "quantum"}
        case "a device that is not there":
            return {"device": "cuda:7"}
        case "a bad offset":
            return {"offset": "ten,2"}
        case "a slider out of range":
            return {"style": 300}
        case "a negative seed":
            return {"seed": -4}
    return {}


REFUSALS = (
    "no source", "a folder as source", "text as target", "a truncated png", "a truncated jpeg", "sizes that disagree", "an empty mask",
    "a mask off the target", "a mask over all of the target", "a coloured mask", "no mask at all", "too large a picture", "cmyk",
    "no such folder", "a folder as output", "an output that is an input", "an output without a format", "a format that is too small",
    "an unknown device", "a device that is not there", "a bad offset", "a slider out of range", "a negative seed",
)  # fmt: skip


@pytest.mark.parametrize("kind", REFUSALS)
def test_bad_input_gets_exit_code_2_and_one_clear_line(kind, case):
    changes = broken(case, kind)
    before = {path: path.read_bytes() for path in case.folder.rglob("*") if path.is_file()}
    done = case.run(**changes)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("blend-daemon: ")
    assert done.stderr.count("\n") == 1, done.stderr
    assert {path: path.read_bytes() for path in case.folder.rglob("*") if path.is_file()} == before


def test_an_unknown_preset_is_refused(case):
    done = case.run(preset="none")
    assert done.returncode == 2
    assert "standard" in done.stderr


def test_missing_weights_are_told_with_the_remedy(case):
    done = case.run({"BLEND_DAEMON_WEIGHTS_DIR": str(case.folder / "empty")})
    assert done.returncode == 2
    assert "blend-daemon weights" in done.stderr
    assert not case.out.exists()


@pytest.mark.parametrize("what", ["read", "write"])
def test_without_permission_nothing_is_written(what, case):
    """Run as another user where we are root, whom permissions do not bind."""
    locked = case.folder / "locked"
    locked.mkdir()
    changes = {"output": locked / "out.png"} if what == "write" else {"source": locked / "source.png"}
    if what == "read":
        (locked / "source.png").write_bytes(case.source.read_bytes())
        (locked / "source.png").chmod(0)
    locked.chmod(0o555)
    words = [str(word) for word in case.words(**changes)]
    code = (
        "import os, sys; from blend_daemon import images; from blend_daemon.engine import Parameters, composite\n"
        "from blend_daemon.cli import main\n"
        "if os.getuid() == 0: os.setuid(12345)\n"
        f"sys.exit(main({words!r}))"
    )
    for folder in [case.folder, *case.folder.parents][:4]:
        if folder.stat().st_uid == os.getuid() and str(folder).startswith("/tmp/pytest"):
            folder.chmod(0o755)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    locked.chmod(0o755)
    assert done.returncode == 2, done.stderr
    assert str(locked) in done.stderr
    assert [path.name for path in locked.iterdir()] == (["source.png"] if what == "read" else [])


def test_ctrl_c_leaves_nothing(case):
    before = sorted(case.folder.iterdir())
    words = case.words(preset="paper", iterations=None)
    shown = on_a_terminal(words, at="stage 1", act=lambda process: process.send_signal(signal.SIGINT), code=130)
    assert "interrupted" in shown
    assert sorted(case.folder.iterdir()) == before
