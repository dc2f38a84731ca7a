"""`model:NAME` with real ONNX files: what it computes, and what is refused, ended or told."""

from __future__ import annotations

import io
import json
import sys
import threading
import time

import numpy as np
import onnx_models as made
import pytest
import torch
from onnx import helper
from scipy import ndimage
from test_blending import outside_is_untouched

from blend_daemon import models
from blend_daemon.engine import Cancelled, Directive, Parameters, Problem, blend, sketch
from blend_daemon.manifest import Manifest
from blend_protocol.errors import BlendError


def run(problem, name, observe=None, **given):
    return blend(problem, Parameters.from_mapping({"device": "cpu", "method": f"model:{name}", **given}), observe)


def refused(code, problem, name, *culprits):
    with pytest.raises(BlendError) as error:
        run(problem, name)
    assert error.value.code == code, error.value
    assert all(culprit in str(error.value) for culprit in (name, *culprits)), error.value
    assert error.value.hint
    assert len(str(error.value)) < 600
    return error.value


@pytest.fixture
def problem(cat, coffee, disc, model_folder):
    return Problem.from_arrays(cat, coffee, disc, (20, 10))


def by_hand(problem, shift=made.SHIFT):
    """S + (clip(I + shift M) - I) over the box, in 0..1, with I = S M + T (1 - M)."""
    x, y, w, h = problem.box
    source, mask = problem.source_on(problem.box)[0], problem.mask_on(problem.box)[:, :, None]
    target = problem.target_on((x, y, w, h))[0]
    composite = source * mask + target * (1 - mask)
    return np.clip(source + np.clip(composite + shift * mask, 0, 1) - composite, 0, 1)


@pytest.mark.parametrize("soft", [False, True])
def test_it_is_the_calculation_by_hand(soft, cat, coffee, disc, model_folder):
    mask = ndimage.gaussian_filter(disc.astype(np.float32) / 255, 4) if soft else disc
    problem = Problem.from_arrays(cat, coffee.astype(np.float32) / 255, mask, (20, 10))
    result = run(problem, "tint")
    inside = problem.mask_on(problem.box) > 0
    assert np.abs(np.clip(result.layer[..., :3], 0, 1) - by_hand(problem))[inside].max() < 1e-5
    outside_is_untouched(problem, result)
    assert result.report["weights"].startswith("tint, sha256 ")
    assert result.report["notes"] == []


def test_a_model_that_changes_nothing_leaves_the_object_as_it_was_pasted(cat, coffee, disc, model_folder):
    soft = ndimage.gaussian_filter(disc.astype(np.float32) / 255, 4)
    made.written(model_folder, "identity", made.identity())
    made.written(model_folder, "at-its-size", made.identity(size=(40, 24)))
    for mask in (disc, soft):
        problem = Problem.from_arrays(cat, coffee, mask, (20, 10))
        pasted = blend(problem, Parameters.from_mapping({"method": "copy-paste"})).layer
        for name in ("identity", "at-its-size"):
            assert np.array_equal(run(problem, name).layer, pasted)
    assert np.array_equal(sketch(problem, Parameters.from_mapping({"method": "model:tint"})), pasted), "a first look is what it starts from"


@pytest.mark.parametrize(
    ("network", "manifest"),
    [
        (made.one_input(last=False), {"inputs": {"both": ["composite", "mask"]}}),
        (made.one_input(last=True), {"inputs": {"both": ["composite", "mask"]}, "layout": "NHWC"}),
        (made.tint(), {"multiple": 32}),
        (made.tint(), {"output": "out", "title": "A tint", "licence": "CC0-1.0", "seconds": 20}),
    ],
)
def test_inputs_and_layouts(network, manifest, problem, model_folder):
    made.written(model_folder, "other", network, **manifest)
    assert np.array_equal(run(problem, "other").layer, run(problem, "tint").layer)


@pytest.mark.parametrize(
    ("value", "manifest", "shift"),
    [
        (0.2, {"range": [-1, 1]}, 0.1),  # the output's range is as the input's
        (20, {"range": [0, 255]}, 20 / 255),
        (0, {"output_range": [-0.1, 0.9]}, 0.1),
        (0, {"mean": [0.485, 0.456, 0.406], "std": [0.5, 0.5, 0.5], "output_range": [-1, 1]}, None),
    ],
)
def test_ranges(value, manifest, shift, problem, model_folder):
    made.written(model_folder, "other", made.adding(value), **manifest)
    ours = run(problem, "other").layer[..., :3] / 255
    inside = problem.mask_on(problem.box) > 0
    if shift is None:  # (x - mean) / std comes back as if it lay in -1..1
        x = problem.source_on(problem.box)[0]
        wanted = np.clip(((x - manifest["mean"]) / 0.5 + 1) / 2, 0, 1)
    else:
        wanted = by_hand(problem, shift)
    assert np.abs(ours - wanted)[inside].max() < 0.51 / 255 + 1e-4


@pytest.mark.parametrize(
    ("network", "manifest"), [(made.tint(size=(24, 32)), {}), (made.tint(), {"size": [24, 32]}), (made.tint(), {"largest": 32})]
)
def test_a_smaller_size_keeps_the_sources_detail_and_nothing_bleeds_in(network, manifest, problem, model_folder):
    made.written(model_folder, "small", network, **manifest)
    layer = run(problem, "small").layer[..., :3] / 255
    core = ndimage.binary_erosion(problem.mask_on(problem.box) > 0, iterations=6)
    assert np.abs(layer - by_hand(problem))[core].max() < 0.03  # the clipping alone depends on the scale
    made.written(model_folder, "dark", made.tint_amid_dark(**({} if manifest else {"size": (24, 32)})), **manifest)
    inside = problem.mask_on(problem.box) > 0
    assert np.abs(run(problem, "dark").layer[..., :3] / 255 - layer)[inside].mean() < 0.02


@pytest.mark.filterwarnings("ignore:.torch.jit:FutureWarning")
def test_what_is_no_model_is_refused(problem, model_folder, tmp_path):
    refused("model-unknown", problem, "nobody")
    for name, data in {"empty": b"", "text": b"not a model" * 9, "half": made.tint().SerializeToString()[:90]}.items():
        made.written(model_folder, name, made.tint()).write_bytes(data)
        refused("model-invalid", problem, name)
    saved = io.BytesIO()
    torch.jit.save(torch.jit.script(torch.nn.Identity()), saved)
    old = io.BytesIO()
    torch.save({}, old, _use_new_zipfile_serialization=False)
    for name, data in {"script": saved.getvalue(), "pickle": old.getvalue()}.items():
        made.written(model_folder, name, made.tint()).write_bytes(data)
        assert "torch.onnx.export" in refused("model-invalid", problem, name, "pickled").hint
    made.written(model_folder, "cycle", made.model([made.node("Magic", ["composite"], ["out"])]))
    refused("model-invalid", problem, "cycle", "Magic")


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("location", ["beside.bin", "/etc/hostname", "../outside.bin", "*/_ORT_MEM_ADDR_/*"])
def test_no_model_reads_another_file(location, inside, problem, model_folder):
    (model_folder / "beside.bin").write_bytes(made.SHIFT.tobytes())
    made.written(model_folder, "reader", made.elsewhere(location, inside))
    assert "one file" in refused("model-invalid", problem, "reader", "another file").hint


@pytest.mark.parametrize("inside", [False, True])
def test_only_operators_of_the_standard_are_run(inside, problem, model_folder):
    made.written(model_folder, "foreign", made.foreign(inside))
    refused("model-invalid", problem, "foreign", "com.microsoft")


def test_functions_that_a_model_brings_are_made_of_such_and_run(problem, model_folder):
    network = made.model([made.node("Own", ["composite"], ["out"], domain="mine")], opsets=(("", 17), ("mine", 1)))
    body = [made.node("Identity", ["x"], ["y"])]
    network.functions.append(helper.make_function("mine", "Own", ["x"], ["y"], body, [helper.make_opsetid("", 17)]))
    made.written(model_folder, "own", network)
    run(problem, "own")
    network.functions[0].node[0].domain = "com.microsoft"
    made.written(model_folder, "own", network)
    refused("model-invalid", problem, "own", "com.microsoft")


@pytest.mark.parametrize(
    ("network", "manifest", "culprit"),
    [
        (made.tint(), {"inputs": {"image": ["composite"]}}, "image"),
        (made.tint(), {"output": "result"}, "out"),
        (made.one_input(last=False), {"inputs": {"both": ["composite"]}}, "both"),
        (made.model([made.node("Identity", ["mask"], ["out"])], channels=1), {}, "out"),
        (made.model([made.node("Cast", ["composite"], ["out"], to=11)]), {}, "double"),
    ],
)
def test_a_manifest_that_does_not_fit_is_told(network, manifest, culprit, problem, model_folder):
    if culprit == "double":
        network.graph.output[0].type.tensor_type.elem_type = 11
    made.written(model_folder, "unfit", network, **manifest)
    refused("model-unfit", problem, "unfit", culprit)


@pytest.mark.parametrize(
    ("network", "culprit"),
    [
        (made.tint(last=True), "dimensions"),
        (made.adding(np.nan), "finite"),
        (made.adding(np.inf), "finite"),
        (made.model([made.node("AveragePool", ["composite"], ["out"], kernel_shape=[2, 2], strides=[2, 2])], size=("", "")), "shape"),
        (made.model([made.node("Reshape", ["composite", "to"], ["out"])], {"to": np.array([1, 3, 7, 7], np.int64)}), "Reshape"),
    ],
)
def test_an_output_that_is_none_is_told(network, culprit, problem, model_folder):
    made.written(model_folder, "wrong", network)
    refused("model-failed", problem, "wrong", culprit)


@pytest.mark.parametrize(
    ("text", "culprit"),
    [
        ("", "JSON"), ("[]", "object"), ("[" * 9999, "JSON"), ('{"title": 3}', "title"), ('{"titel": ""}', "titel"),
        ('{"layout": "CHW"}', "layout"), ('{"layout": []}', "layout"), ('{"range": [1, 1]}', "range"), ('{"range": [0, NaN]}', "range"),
        ('{"range": [0, true]}', "range"), ('{"std": [1, 0, 1]}', "std"), ('{"mean": [1]}', "mean"), ('{"size": [0, 5]}', "size"),
        ('{"size": [99999, 99999]}', "size"), ('{"multiple": 1.5}', "multiple"), ('{"largest": 1}', "largest"),
        ('{"seconds": 0}', "seconds"), ('{"seconds": 1e9}', "seconds"), ('{"inputs": {}}', "inputs"),
        ('{"inputs": {"a": ["mask"]}}', "inputs"),
        ('{"inputs": {"a": ["composite"], "b": ["composite"]}}', "inputs"), ('{"inputs": {"a": ["composite", 3]}}', "inputs"),
        ('{"inputs": {"a": ["composite"], "b": []}}', "inputs"), ('{"inputs": {"a": "composite"}}', "inputs"), ("\\x00", "JSON"),
    ],
)  # fmt: skip
def test_a_manifest_that_is_none_is_refused(text, culprit):
    with pytest.raises(BlendError) as error:
        Manifest.parse(text, "it.json")
    assert error.value.code == "manifest-invalid"
    assert "it.json" in str(error.value)
    assert culprit in str(error.value)
    assert error.value.hint


def test_files_have_limits(problem, model_folder, monkeypatch):
    (model_folder / "tint.json").write_text(json.dumps({"title": "x"}) + " " * 70_000)
    with pytest.raises(BlendError, match="more than 65536"):
        models.load("tint")
    monkeypatch.setattr(models, "LARGEST", 100)  # a gigabyte would be the same
    refused("model-too-large", problem, "tint")


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_a_package_that_is_missing_is_told_with_the_command_that_installs_it(package, problem, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)  # as good as not installed: import fails
    with pytest.raises(BlendError) as error:
        run(problem, "tint")
    assert error.value.code == "model-support-missing"
    assert package in str(error.value)
    assert f"{sys.executable} -m pip install onnx onnxruntime" in error.value.hint


def test_a_model_that_does_not_end_is_ended(problem, model_folder):
    made.written(model_folder, "endless", made.endless(), seconds=0.5)
    threads, began = threading.active_count(), time.monotonic()
    assert "seconds" in refused("model-too-slow", problem, "endless", "0.5 s").hint
    assert time.monotonic() - began < 5
    assert threading.active_count() == threads, "it still computes"


def test_a_model_that_runs_hears_cancel_and_finish(problem, model_folder):
    made.written(model_folder, "endless", made.endless(), seconds=60)
    with pytest.raises(Cancelled):
        run(problem, "endless", lambda progress: Directive.CANCEL)
    seen = []

    def observe(progress):
        seen.append(progress)
        return Directive.FINISH if len(seen) == 3 else None

    result = run(problem, "endless", observe)
    pasted = blend(problem, Parameters.from_mapping({"method": "copy-paste"})).layer
    assert np.array_equal(result.layer, pasted)
    assert "before it was done" in result.report["notes"][0]
    assert [progress.seconds_left for progress in seen[:3]] == [None] * 3
    assert all(progress.evaluation <= progress.evaluations for progress in seen)


def test_one_process_runs_one_model_after_another(problem, model_folder):
    made.written(model_folder, "wrong", made.adding(np.nan))
    first = run(problem, "tint").layer
    refused("model-failed", problem, "wrong")
    assert np.array_equal(run(problem, "tint").layer, first)
