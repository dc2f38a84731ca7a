"""Loaded by Python itself in the plug-in's process, where PYTHONPATH names this folder: tells a test which widgets its windows have.

The test asks at the socket WORK/probe, and gets a JSON list of every widget of every window: see `look`. The plug-in knows nothing of it.
"""

import json
import os
import socket
import sys


def listen():
    from gi.repository import GLib

    path = os.path.join(os.environ["WORK"], "probe")
    if os.path.exists(path):
        os.remove(path)
    door = socket.socket(socket.AF_UNIX)
    door.bind(path)
    door.listen()

    def answer(_fd, _condition):
        asker, _ = door.accept()
        with asker:
            asker.sendall(json.dumps(look()).encode())
        return True

    GLib.io_add_watch(door.fileno(), GLib.PRIORITY_DEFAULT, GLib.IOCondition.IN, answer)


def look():
    from gi.repository import Gtk

    found = []

    def enter(widget, title, within):
        try:
            found.append(account(widget, title, within))
        except Exception as error:  # a widget that is just going
            found.append({"name": "", "kind": type(widget).__name__, "error": repr(error)})
        if isinstance(widget, Gtk.Container):
            widget.forall(lambda child: enter(child, title, [*within, widget.get_name()]))

    for window in Gtk.Window.list_toplevels():
        enter(window, window.get_title() or "", [])
    return found


def account(widget, title, within):
    """What a user can tell of a widget."""
    room, top = widget.get_allocation(), widget.get_toplevel()
    place = widget.translate_coordinates(top, 0, 0) if top.get_window() else None
    x, y = place or (0, 0)
    if widget is top:
        x = y = 0
    if top.get_window():
        _ok, left, upper = top.get_window().get_origin()
        x, y = x + left, y + upper
    read = {
        "Label": "get_text",
        "Entry": "get_text",
        "SpinButton": "get_text",
        "ComboBoxText": "get_active_text",
        "ProgressBar": "get_fraction",
    }
    kind = type(widget).__name__
    tell = None if widget is top else getattr(widget, read.get(kind, "get_label"), None)
    text = tell() if tell else getattr(widget, "text", None)  # the attribute is a `Page`'s
    return {
        "name": widget.get_name(),
        "kind": kind,
        "window": title,
        "within": within,
        "seen": widget.get_mapped(),
        "sensitive": widget.is_sensitive(),
        "active": widget.get_active() if kind in ("CheckButton", "RadioButton", "ToggleButton") else None,
        "text": text if isinstance(text, str | float) else None,  # GIMP's labelled widgets have a label that is a widget
        "tooltip": widget.get_tooltip_text(),
        "rect": [x, y, room.width, room.height],
    }


os.environ.pop("PYTHONPATH", None)  # the daemon that the plug-in may start has its own
words = getattr(sys, "orig_argv", [])
if "-run" in words and any(word.endswith("deep-image-blending.py") for word in words):
    listen()
