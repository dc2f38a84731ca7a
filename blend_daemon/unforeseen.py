"""Errors that nobody thought of: a sentence for the user, and a file for whoever mends them."""

from __future__ import annotations

import os
import sys
import tempfile
import traceback

from blend_protocol import __version__, runtime

# What libraries say when the system gives them no more: PyTorch's allocator, the C library, the loader of shared libraries.
_NO_MEMORY = ("allocate memory", "out of memory", "failed to map segment")


def is_of_memory(error: BaseException) -> bool:
    """Whether memory ran out."""
    return isinstance(error, MemoryError) or any(words in str(error).lower() for words in _NO_MEMORY)


def unforeseen(error: Exception) -> str:
    """An error that nobody thought of in one sentence; its traceback goes into a file, for a report."""
    text = "".join(traceback.format_exception(error))
    try:
        runtime.state_dir().mkdir(parents=True, exist_ok=True)
        handle, log = tempfile.mkstemp(dir=runtime.state_dir(), prefix="error-", suffix=".log", text=True)
    except OSError:
        handle, log = tempfile.mkstemp(prefix="blend-daemon-error-", suffix=".log", text=True)
    with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
        file.write(f"blend-daemon {__version__}, Python {sys.version}, {sys.platform}\n{text}")
    what = " ".join(f"{type(error).__name__}: {error}".split())
    return f"an error that should not happen ({what[:200]}). Please report it with {log}."
