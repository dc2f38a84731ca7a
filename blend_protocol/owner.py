"""The key by which the daemon knows whose a job is: made on first use, then the same for every client of this user."""

from __future__ import annotations

import re
import secrets

from blend_protocol import runtime
from blend_protocol.errors import BlendError


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
            path.parent.mkdir(parents=True, exist_ok=True)
            runtime.write_private(path, secrets.token_hex(16))
        found = path.read_text("ascii", "replace").strip()
    except OSError as error:
        raise BlendError("owner-key", f"The key file {path} cannot be made or read: {error.strerror}.", runtime.DOCTOR) from error
    if not re.fullmatch("[0-9a-f]{32}", found):
        raise BlendError("owner-key", f"The key file {path} does not hold a key.", "Remove it; a new one is made at the next start.")
    return found
