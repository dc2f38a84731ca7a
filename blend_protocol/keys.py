"""The CURVE keys by which two computers know each other. A key is 64 hexadecimal digits wherever it is written or shown.

In `runtime.keys_dir()`: `server` and `client`, this computer's two secret keys; `clients/NAME`, the public key of a client that may use
the daemon here; `daemons/NAME`, the address and the public key of a daemon elsewhere. Each is a file of its own, so that each appears and
goes whole, and the daemon sees at once what `pair` changed.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from blend_protocol import processes, runtime
from blend_protocol.errors import BlendError

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
KEY = re.compile("[0-9a-f]{64}")
TCP = re.compile(r"tcp://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+|\*):([0-9]{1,5})")


class Pair(NamedTuple):
    """This computer's own key of one side, raw bytes, 32 each."""

    public: bytes
    secret: bytes


class Daemon(NamedTuple):
    """A daemon that this computer is paired with."""

    name: str
    address: str
    key: bytes


def own(side: str) -> Pair:
    """This computer's key as "server" or as "client", made on first use. Raises BlendError `keys` or `runtime-dir-unsafe`."""
    import zmq  # where there is none, as in some of GIMP's Pythons, the bridge has it
    from zmq.utils import z85

    path = _folder() / side
    try:
        if not path.exists():
            runtime.write_private(path, z85.decode(zmq.curve_keypair()[1]).hex() + "\n")
        text = path.read_text("ascii", "replace").strip()
    except OSError as error:
        raise _unusable(path, error) from error
    if not KEY.fullmatch(text):
        raise BlendError("keys", f"The file {path} does not hold a key.", "Remove it, and pair again with those who knew the old one.")
    secret = bytes.fromhex(text)
    return Pair(z85.decode(zmq.curve_public(z85.encode(secret))), secret)


def public(side: str, command: Sequence[str]) -> str:
    """The public half of `own(side)`. A Python without pyzmq asks `command keys`."""
    try:
        return own(side).public.hex()
    except ImportError:
        pass
    try:
        asked = processes.spawn([*command, "keys"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    except OSError as error:
        raise BlendError("keys", f"{command[0]} cannot be run: {error.strerror}.", runtime.DOCTOR) from error
    told, complaint = (text.decode("utf-8", "replace") for text in asked.communicate())
    found = re.search(f"^{side} ({KEY.pattern})$", told, re.MULTILINE)
    if not found:
        raise BlendError("keys", f"The keys of this computer cannot be read: {complaint.strip()}", runtime.DOCTOR)
    return found[1]


def clients() -> dict[str, str]:
    """The clients that may use this computer's daemon: the name of each key."""
    return {text: name for name, text in _entries("clients") if KEY.fullmatch(text)}


def daemons() -> list[Daemon]:
    """The daemons that this computer is paired with."""
    entries = ((name, *text.partition(" ")[::2]) for name, text in _entries("daemons"))
    return [Daemon(name, address, bytes.fromhex(key)) for name, address, key in entries if TCP.fullmatch(address) and KEY.fullmatch(key)]


def daemon(name: str) -> Daemon:
    """The paired daemon of that name or tcp address. Raises BlendError `daemon-not-paired`."""
    for found in daemons():
        if name in (found.name, found.address):
            return found
    raise BlendError(
        "daemon-not-paired",
        f"This computer is not paired with a blend daemon {name!r}.",
        "Run `blend-daemon pair` on the computer where the daemon runs, and here the command that it prints.",
    )


def paired(address: str | None) -> Daemon | None:
    """The paired daemon that a client's address means, None if it means a Unix socket of this computer, or without an address this
    user's own daemon.

    Raises
    ------
    BlendError
        `address-invalid`, `daemon-not-paired`
    """
    if address is None or (address.startswith("ipc:///") and len(os.fsencode(address)) - len("ipc://") <= runtime.SOCKET_PATH):
        return None
    if not NAME.fullmatch(address) and not TCP.fullmatch(address):
        raise BlendError(
            "address-invalid",
            f"{address!r} is no address of a blend daemon.",
            "It looks like ipc:///path/of/socket, or is the name of a daemon that `blend-daemon pair` has pinned.",
        )
    return daemon(address)


def add_client(name: str, key: str) -> None:
    """Let the client with this key use this computer's daemon. Raises BlendError `pair-invalid`, `pair-exists`, `keys`."""
    _add("clients", name, _key(key))


def add_daemon(name: str, address: str, key: str) -> None:
    """Pin the key of the daemon at an address. Raises BlendError `pair-invalid`, `pair-exists`, `keys`."""
    _add("daemons", name, f"{tcp(address)} {_key(key)}")


def remove(name: str) -> list[str]:
    """Remove the client and the daemon of that name; returns which there were. Raises BlendError `pair-unknown`, `keys`."""
    found = []
    for kind in ("clients", "daemons"):
        path = _folder(kind) / _name(name)
        try:
            path.unlink()
            found.append(kind[:-1])
        except FileNotFoundError:
            pass
        except OSError as error:
            raise _unusable(path, error) from error
    if not found:
        raise BlendError(
            "pair-unknown", f"This computer is paired with nobody named {name!r}.", "`blend-daemon pair --list` has the names."
        )
    return found


def tcp(address: str) -> str:
    """The address, if it is tcp://HOST:PORT. Raises BlendError `address-invalid`."""
    match = TCP.fullmatch(address)
    if not match or int(match[2]) > 65_535:
        raise BlendError("address-invalid", f"{address!r} is no TCP address of a blend daemon.", "It looks like tcp://192.168.1.20:47811.")
    return address


def _folder(kind: str = "") -> Path:
    folder = runtime.private_dir(runtime.keys_dir())
    return runtime.private_dir(folder / kind) if kind else folder


def _entries(kind: str) -> list[tuple[str, str]]:
    folder = runtime.keys_dir() / kind
    if not folder.exists():
        return []
    try:
        paths = [path for path in sorted(_folder(kind).iterdir()) if path.suffix != ".part"]
        return [(path.name, path.read_text("ascii", "replace").strip()) for path in paths]
    except OSError as error:
        raise _unusable(folder, error) from error


def _add(kind: str, name: str, text: str) -> None:
    path = _folder(kind) / _name(name)
    try:
        if not runtime.write_private(path, text + "\n") and path.read_text().strip() != text:
            raise BlendError(
                "pair-exists", f"Another {kind[:-1]} is named {name!r} already.", f"Run `blend-daemon pair --remove {name}` first."
            )
    except OSError as error:
        raise _unusable(path, error) from error


def _name(name: str) -> str:
    # It becomes a file's name: no folder, no dot in front, nothing that a shell or a terminal takes for something else.
    if not NAME.fullmatch(name) or name.endswith(".part"):
        raise BlendError(
            "pair-invalid", f"{name!r} is no name for a computer.", "Use up to 63 letters, digits, dots, dashes and underscores."
        )
    return name


def _key(key: str) -> str:
    if not KEY.fullmatch(key):
        raise BlendError(
            "pair-invalid", "That is no public key of a blend daemon.", "A key has 64 hexadecimal digits; copy the whole line."
        )
    return key


def _unusable(path: Path, error: OSError) -> BlendError:
    return BlendError("keys", f"{path} cannot be read or written: {error.strerror}.", runtime.DOCTOR)
