"""What the main loop calls, so that whatever goes wrong in it is told in its window."""

from __future__ import annotations

import functools
import traceback

from blend_protocol.errors import BlendError


def told(callback):
    """The method as a callback of GTK's whose errors go to the object's `fail`: one that left it would be printed and forgotten."""

    @functools.wraps(callback)
    def call(self, *args):
        try:
            return callback(self, *args)
        except BlendError as error:
            self.fail(error)
        except Exception as error:  # a fault of ours: the traceback goes to stderr, the user hears of it too
            traceback.print_exc()
            self.fail(BlendError("unforeseen", f"{type(error).__name__}: {error}"))
        return True  # a timer goes on

    return call
