from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchvision

from blend_daemon.engine import weights
from blend_daemon.engine.features import LAYERS, MEAN, Features
from blend_daemon.errors import BlendError

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


@pytest.mark.parametrize("name", ["weights.pth", "weights.h5", "weights.whl", "weights.safetensors"])
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

    for source in ("_torchvision_cache", "_torchvision_download", "_hed_wheel"):
        monkeypatch.setattr(weights, source, unreachable)
    lines = []
    error = refusal(weights.ensure, lines.append)
    assert error.code == "weights-unreachable"
    assert str(error).count("no route to host") == 3
    assert "--file" in error.hint
    assert len(lines) == 6


def test_torchvisions_network_gives_the_same_features():
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


def test_keras_kernels_become_torch_kernels(tmp_path):
    import h5py

    random = np.random.default_rng(0)
    file = tmp_path / "hed.h5"
    inputs = 3
    with h5py.File(file, "w") as h5:
        for layer in LAYERS:
            outputs = weights.CHANNELS[layer[4]]
            number = int(layer[6])
            name = f"block{layer[4]}/layers/conv2d" + (f"_{number - 1}" if number > 1 else "") + "/vars"
            h5[f"{name}/0"] = random.normal(size=(3, 3, inputs, outputs)).astype(np.float32)
            h5[f"{name}/1"] = random.normal(size=outputs).astype(np.float32)
            inputs = outputs
        kernel, bias = h5["block1/layers/conv2d/vars/0"][:], h5["block1/layers/conv2d/vars/1"][:]
    tensors = weights.from_hed(file.read_bytes())
    patch = random.random((3, 3, 3)).astype(np.float32)  # (y, x, RGB)
    keras = (patch[:, :, ::-1, None] * kernel).sum(axis=(0, 1, 2)) + bias  # which is given BGR
    ours = F.conv2d(torch.from_numpy(patch).permute(2, 0, 1)[None], tensors["conv1_1.weight"], tensors["conv1_1.bias"])
    assert np.allclose(ours.flatten().numpy(), keras, atol=1e-4)
