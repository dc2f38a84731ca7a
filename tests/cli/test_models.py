"""`blend-daemon models`, and `model:NAME` in `blend` and `compare`."""

from __future__ import annotations

import numpy as np
import onnx_models as made
import pytest
from pictures import load

from blend_daemon.cli import main


@pytest.fixture
def models(tmp_path, monkeypatch):
    """Runs `blend-daemon models`; `.folder` is its, `.brought` the user's."""

    class Models:
        folder, brought = tmp_path / "data" / "models", tmp_path

        def __call__(self, *words) -> int:
            return main(["models", *map(str, words)])

        def kept(self) -> list[str]:
            return sorted(path.name for path in self.folder.iterdir()) if self.folder.exists() else []

    monkeypatch.setenv("BLEND_DAEMON_MODELS_DIR", str(Models.folder))
    return Models()


def test_added_listed_used_and_removed(models, case, capsys):
    brought = made.written(models.brought, "My-Tint", made.tint(), title="A tint", licence="CC0-1.0")
    before = brought.read_bytes()
    assert models("add", brought) == 0
    assert "model:My-Tint" in capsys.readouterr().out
    assert models.kept() == ["My-Tint.json", "My-Tint.onnx"]
    assert models("list") == 0
    assert capsys.readouterr().out == "model:My-Tint  A tint  CC0-1.0\n"
    tinted = models.brought / "tinted.png"
    done = case.run(method="model:My-Tint", output=tinted, iterations=None)
    assert (done.returncode, done.stderr) == (0, "")
    assert case.run(method="copy-paste").returncode == 0
    out, copied, target = load(tinted), load(case.out), load(case.target)
    changed = (copied != target).any(axis=2)
    assert np.array_equal(out[~changed], target[~changed])
    shift = np.clip(copied / 255 + made.SHIFT, 0, 1) - out / 255
    assert np.abs(shift[changed]).max() < 0.51 / 255 + 1e-4
    assert models("remove", "My-Tint") == 0
    assert models.kept() == []
    assert brought.read_bytes() == before
    assert case.run(method="model:My-Tint").returncode == 2
    assert np.array_equal(load(case.out), copied), "what was there stays"


def test_the_manifest_may_lie_elsewhere_and_be_left_out(models, tmp_path):
    plain = made.written(models.brought, "plain", made.tint())
    plain.with_suffix(".json").unlink()
    assert models("add", plain) == 0
    (tmp_path / "other.json").write_text('{"inputs": {"both": ["composite", "mask"]}}')
    one = made.written(models.brought, "one", made.one_input(last=False), title=1)
    assert models("add", one, "--manifest", tmp_path / "other.json", "--name", "four") == 0
    assert models.kept() == ["four.json", "four.onnx", "plain.json", "plain.onnx"]


@pytest.mark.parametrize(
    ("network", "manifest", "words", "told"),
    [
        (made.adding(np.nan), {}, (), ("finite",)),
        (made.elsewhere("/etc/hostname"), {}, (), ("another file",)),
        (made.foreign(), {}, (), ("com.microsoft",)),
        (made.endless(), {"seconds": 0.5}, (), ("0.5 s",)),
        (made.tint(), {"colour": 1}, (), ("colour", "it.json")),
        (made.tint(), {"inputs": {"x": ["composite"]}}, (), ("composite, mask",)),
        (made.tint(), {}, ("--name", "../it"), ("../it", "--name")),
        (made.tint(), {}, ("--manifest", "nothing.json"), ("nothing.json",)),
    ],
)
def test_what_cannot_be_used_is_not_kept(network, manifest, words, told, models, capsys):
    assert models("add", made.written(models.brought, "it", network, **manifest), *words) == 2
    complaint = capsys.readouterr().err
    assert complaint.count("\n") == 1
    assert all(word in complaint for word in told), complaint
    assert models.kept() == []


def test_nothing_is_overwritten(models, capsys):
    first = made.written(models.brought, "it", made.tint())
    assert models("add", first) == 0
    before = (models.folder / "it.onnx").read_bytes()
    assert models("add", made.written(models.brought, "it", made.identity())) == 2
    assert "models remove it" in capsys.readouterr().err
    assert (models.folder / "it.onnx").read_bytes() == before
    assert models("remove", "nobody") == 2
    assert "it" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_is_told_and_nothing_is_left(models, capsys):
    models.folder.parent.mkdir()
    models.folder.write_text("in the way")
    assert models("add", made.written(models.brought, "it", made.tint())) == 2
    assert str(models.folder) in capsys.readouterr().err
    assert models.folder.read_text() == "in the way"


def test_a_file_by_its_path_is_refused_with_the_way_to_do_it(models, case):
    brought = made.written(models.brought, "it", made.tint())
    done = case.run(method=f"model:{brought}")
    assert done.returncode == 2
    assert "blend-daemon models" in done.stderr
    assert not case.out.exists()
