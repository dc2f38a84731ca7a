"""Which device computes, and in which precision."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

import torch

from blend_daemon.engine.network import weights
from blend_daemon.engine.network.features import Features
from blend_protocol.errors import BlendError

ALONE = 300_000  # pixels up to which one thread was the fastest for element-wise sums, measured on two cores (docs/engine.md)


def choose(name: str = "auto") -> torch.device:
    """The device for a name: auto, cpu, cuda, cuda:N, mps or xpu. Raises BlendError `device-unknown` or `device-missing`."""
    if not re.fullmatch(r"auto|cpu|mps|(cuda|xpu)(:\d+)?", name):
        raise BlendError("device-unknown", f"There is no device {name!r}.", "Use auto, cpu, cuda, cuda:N, mps or xpu.")
    counts = {
        "cuda": torch.cuda.device_count() if torch.cuda.is_available() else 0,
        "mps": int(torch.backends.mps.is_available()),
        "xpu": torch.xpu.device_count() if torch.xpu.is_available() else 0,
        "cpu": 1,
    }
    if name == "auto":
        return torch.device(next(kind for kind, count in counts.items() if count))
    device = torch.device(name)
    if (device.index or 0) >= counts[device.type]:
        usable = ", ".join(kind for kind, count in counts.items() if count)
        raise BlendError("device-missing", f"The device {name} is not present.", f"Present are: {usable}.")
    return device


def precision(device: torch.device) -> torch.dtype:
    """bfloat16 where the device multiplies it natively, float32 elsewhere, where emulated bfloat16 would be slower."""
    if device.type == "cpu":
        has = torch.cpu.get_capabilities()
        native = has.get("avx512_bf16") or has.get("amx_bf16")
        return torch.bfloat16 if native and _onednn_takes_bfloat16() else torch.float32
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.get_device_capability(device)[0] >= 8 else torch.float32
    return torch.float32


def _onednn_takes_bfloat16() -> bool:
    """Whether the library that convolves on the CPU does so in bfloat16: ONEDNN_MAX_CPU_ISA keeps it from what the processor has, and a
    build of PyTorch may lack it."""
    return torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()


@contextmanager
def threads_for(pixels: int) -> Iterator[None]:
    """As many of torch's threads as pay for element-wise sums over so many pixels: one where to meet after each costs more than it brings,
    else all."""
    usual = torch.get_num_threads()
    torch.set_num_threads(1 if pixels <= ALONE else usual)
    try:
        yield
    finally:
        torch.set_num_threads(usual)


def out_of_memory(error: Exception) -> bool:
    """Whether an error says that a device's memory ran out. Accelerators have a class for it, the CPU and MPS have just words."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error).lower() for words in ("out of memory", "can't allocate memory"))


def free_memory(device: torch.device) -> None:
    """Give a device's cached memory back."""
    if device.type != "cpu":
        getattr(torch, device.type).empty_cache()


@lru_cache(maxsize=2)
def features(device: torch.device, dtype: torch.dtype) -> tuple[Features, str]:
    """The network on a device and the name of its trunk, loaded once a process. Raises BlendError `weights-*`."""
    tensors, info = weights.load()
    return Features(tensors, device, dtype), info.get("trunk", "unknown")
