"""The models that the user added: `NAME.onnx` and its manifest `NAME.json` in one folder, found by name alone. Standard library only: the
broker lists them."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from blend_daemon.manifest import Manifest
from blend_protocol import runtime
from blend_protocol.errors import BlendError
from blend_protocol.methods import MODEL

LARGEST = 1_000_000_000  # bytes of a model
LARGEST_MANIFEST = 65_536


def names() -> list[str]:
    """All that are there."""
    return sorted(path.stem for path in runtime.models_dir().glob("*.onnx") if MODEL.fullmatch(f"model:{path.stem}"))


def path(name: str) -> Path:
    """The file of a model; its manifest is beside it. Raises BlendError `model-unknown`."""
    known = names()
    if name not in known:
        hint = f"There are: {', '.join(known)}." if known else "Add one with `blend-daemon models add FILE`."
        raise BlendError("model-unknown", f"There is no model {name!r}.", hint)
    return runtime.models_dir() / f"{name}.onnx"


def load(name: str) -> tuple[bytes, Manifest]:
    """A model's file and manifest. Raises BlendError `model-unknown`, `model-unreadable`, `model-too-large`, `manifest-invalid`."""
    return read(path(name), LARGEST), manifest(name)


def manifest(name: str) -> Manifest:
    """The manifest of a model that is there. Raises BlendError `model-unreadable`, `model-too-large`, `manifest-invalid`."""
    file = runtime.models_dir() / f"{name}.json"
    return Manifest.parse(read(file, LARGEST_MANIFEST), str(file))


def title(name: str) -> str:
    """What a model's manifest calls it, "" if it says nothing or cannot be read."""
    try:
        return manifest(name).title
    except BlendError:
        return ""


def read(file: Path, largest: int) -> bytes:
    """A file of at most `largest` bytes. Raises BlendError `model-unreadable`, `model-too-large`."""
    try:
        with file.open("rb") as opened:
            data = opened.read(largest + 1)
    except OSError as error:
        raise BlendError(
            "model-unreadable", f"{file} cannot be read: {error.strerror}.", "Name a file that exists and is yours."
        ) from error
    if len(data) > largest:
        raise BlendError("model-too-large", f"{file} has more than {largest} bytes.", "Use a smaller one.")
    return data


def check_free(name: str) -> None:
    """Raise BlendError `model-name-invalid` or `model-exists` if no model can be added under a name."""
    if not MODEL.fullmatch(f"model:{name}"):
        raise BlendError(
            "model-name-invalid", f"A model cannot be called {name!r}.", "Give it a --name of at most 63 letters, digits, _ and -."
        )
    if name in names():
        raise BlendError(
            "model-exists", f"There is a model {name!r} already.", f"Give a --name, or run `blend-daemon models remove {name}`."
        )


def add(name: str, data: bytes, manifest: bytes) -> None:
    """Keep a copy of a model. Raises BlendError as `check_free` does, and `model-not-kept`."""
    check_free(name)
    folder = runtime.models_dir()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for suffix, content in ((".json", manifest), (".onnx", data)):  # the one by which it is found comes last
            _write(folder / f"{name}{suffix}", content)
    except OSError as error:
        raise BlendError("model-not-kept", f"The model could not be kept in {folder}: {error.strerror}.", "Free some space.") from error


def remove(name: str) -> None:
    """Forget a model. Raises BlendError `model-unknown`."""
    file = path(name)
    file.unlink(missing_ok=True)
    file.with_suffix(".json").unlink(missing_ok=True)


def _write(file: Path, content: bytes) -> None:
    handle, part = tempfile.mkstemp(dir=file.parent, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as opened:
            opened.write(content)
        Path(part).replace(file)
    except BaseException:
        Path(part).unlink(missing_ok=True)
        raise
