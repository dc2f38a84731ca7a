"""A question for the line that `blend-daemon pair` prints on another computer, whose blend daemon may then be used from here."""

from __future__ import annotations

import socket

from gi.repository import Gtk

from blend_protocol import keys
from blend_protocol.errors import BlendError
from dib.i18n import _
from dib.job.daemon import command
from dib.words import sentence

WORDS = ("blend-daemon", "pair")


def ask(parent: Gtk.Window) -> str | None:
    """Pair with a daemon elsewhere. Returns what is to be done there, None if the user gave up."""
    dialog = Gtk.Dialog(title=_("Pair with Another Computer"), transient_for=parent, modal=True)
    dialog.add_button(_("_Cancel"), Gtk.ResponseType.CANCEL)
    dialog.add_button(_("Pa_ir"), Gtk.ResponseType.OK)
    dialog.set_default_response(Gtk.ResponseType.OK)
    text = Gtk.Label(xalign=0, wrap=True, max_width_chars=70)
    text.set_text(_("Run “blend-daemon pair” in a terminal of the computer with the blend daemon, and paste here the line that it prints."))
    line, trouble = Gtk.Entry(activates_default=True, width_chars=70), Gtk.Label(xalign=0, wrap=True, max_width_chars=70)
    box = Gtk.Box(orientation=Gtk.Orientation.VERTICAL, spacing=8, border_width=12)
    for widget in (text, line, trouble):
        box.pack_start(widget, False, False, 0)
    box.show_all()
    dialog.get_content_area().pack_start(box, True, True, 0)
    try:
        while dialog.run() == Gtk.ResponseType.OK:
            try:
                return _pair(line.get_text())
            except BlendError as error:
                trouble.set_text(sentence(error))
        return None
    finally:
        dialog.destroy()


def _pair(line: str) -> str:
    words = [word for word in line.split() if word not in WORDS]
    if len(words) != 3:
        raise BlendError("pair-line", _("This is not such a line."), _("It ends with a name, an address and a key."))
    keys.add_daemon(*words)
    here = socket.gethostname().partition(".")[0]
    name = here if keys.NAME.fullmatch(here) else "NAME"
    done = _("Paired. Now run this on the other computer, and then name “{name}” as the daemon under Advanced:")
    return f"{done.format(name=words[0])}\n\nblend-daemon pair --add {name} {keys.public('client', command())}\n"
