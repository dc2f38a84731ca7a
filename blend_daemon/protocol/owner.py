"""The key by which the daemon knows whose a job is: made on first use, then the same for every client of this user."""

from __future__ import annotations

import os
import re
import secrets

from blend_daemon.errors import BlendError
from blend_daemon.protocol import runtime


def key() -> str:
    """This user's owner key, 32 hexadecimal digits.

    Raises
    ------
    BlendError
        `owner-key` if its file cannot be made or read, or holds something else
    """
    path = runtime.owner_path()
    try:
        if not path.exists():
            _make()
        found = path.read_text("ascii", "replace").strip()
    except OSError as error:
        raise BlendError("owner-key", f"The key file {path} cannot be made or read: {error.strerror}.", runtime.DOCTOR) from error
    if not re.fullmatch("[0-9a-f]{32}", found):
        raise BlendError("owner-key", f"The key file {path} does not hold a key.", "Remove it; a new one is made at the next start.")
    return found


def _make() -> None:
    path = runtime.owner_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"owner-{secrets.token_hex(8)}.part")
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_hex(16))
        # A link appears whole and never in the place of another: of two clients that begin at once, both read the first one's key.
        os.link(part, path)
    except FileExistsError:
        pass
    finally:
        part.unlink(missing_ok=True)
