"""The one kind of error that a user may see: what is wrong, and what to do about it. Standard library only."""

from __future__ import annotations


class BlendError(Exception):
    """An error in what the user gave or has, told in the user's words.

    Parameters
    ----------
    code : str
        Short stable name for programs, such as ``"mask-empty"``; travels in the protocol's ``failed`` message.
    message : str
        One sentence that names the culprit.
    hint : str
        One sentence that names the remedy, or ``""``.
    """

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.hint = hint
