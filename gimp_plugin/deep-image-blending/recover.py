"""Blends that were finished, but never inserted: a list to choose from, and their way into an image."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import insertion
from gi.repository import Gimp, GLib
from session import command

from blend_protocol.client import Client, Message, failure
from blend_protocol.errors import BlendError

PATIENCE = 20.0  # s for an answer of the daemon


def _(text):
    return GLib.dgettext("deep-image-blending", text)


def run(run_mode, image, config) -> Gimp.PDBStatusType:
    """The procedure. Raises BlendError with a message for the user."""
    client = Client(command=command())
    try:
        results = _results(client)
        if run_mode == Gimp.RunMode.INTERACTIVE:
            return _choose(client, image, results)
        wanted = config.get_property("job")
        entry = next((entry for entry in results if wanted in (None, "", entry["job"])), None)
        if entry is None:
            raise BlendError("nothing-to-recover", _("There is no blend to recover."), "")
        _insert(client, image, entry)
    finally:
        client.close()
    return Gimp.PDBStatusType.SUCCESS


def _results(client: Client) -> list[dict[str, Any]]:
    """What the daemon keeps for this user, the newest first."""
    for _state in client.reach():
        client.wait(0.05)
    client.ask_results()
    results = [entry for entry in _answer(client, "results").header["results"] if not entry.get("cut")]
    return sorted(results, key=lambda entry: -entry["ended"])


def _answer(client: Client, *types: str) -> Message:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        client.wait(0.1)
        for message in client.pump():
            if message.type in types:
                return message
    raise BlendError("daemon-gone", _("The blend daemon does not answer."), _("Run “blend-daemon doctor” in a terminal."))


def _insert(client: Client, image, entry: dict[str, Any]) -> None:
    """Insert the result at its place, as the topmost layer, one undo step. The daemon then need not keep it."""
    client.fetch(entry["job"])
    result = _answer(client, "result", "failed")
    if result.type == "failed":
        raise failure(result)
    raster = result.rasters["layer"]
    insertion.check_mode(image, raster)
    name = _("{name} blended").format(name=entry["label"].get("layer", ""))
    image.undo_group_start()
    try:
        layer = insertion.add_layer(image, raster, tuple(result.header["box"]), name.strip(), None, 0)
        image.set_selected_layers([layer])
    finally:
        image.undo_group_end()
    client.release(entry["job"])
    Gimp.displays_flush()


def _choose(client: Client, image, results: list[dict[str, Any]]) -> Gimp.PDBStatusType:
    """The window with the list."""
    import gi

    gi.require_version("GimpUi", "3.0")
    gi.require_version("Gtk", "3.0")
    from gi.repository import GimpUi, Gtk

    GimpUi.init("deep-image-blending")
    dialog = GimpUi.Dialog(title=_("Recover Blends"))
    discard, cancel, insert = 1, Gtk.ResponseType.CANCEL, Gtk.ResponseType.OK
    for response, label in ((discard, _("_Discard")), (cancel, _("_Cancel")), (insert, _("_Insert"))):
        dialog.add_button(label, response)
    dialog.set_default_response(insert)
    dialog.set_default_size(560, 320)
    rows = Gtk.ListStore(int, str, str, str)
    for row in _rows(results):
        rows.append(row)
    view = Gtk.TreeView(model=rows)
    for column, title in enumerate((_("Finished"), _("Image"), _("Layer")), start=1):
        view.append_column(Gtk.TreeViewColumn(title, Gtk.CellRendererText(), text=column))
    view.connect("row-activated", lambda *_event: dialog.response(insert))
    room = Gtk.ScrolledWindow()
    room.add(view)
    room.set_shadow_type(Gtk.ShadowType.IN)
    text = Gtk.Label(xalign=0, wrap=True)
    text.set_text(_("Finished blends that were not inserted. They are kept for a week."))
    box = Gtk.Box(orientation=Gtk.Orientation.VERTICAL, spacing=8, border_width=12)
    box.pack_start(text, False, False, 0)
    box.pack_start(room, True, True, 0)
    box.show_all()
    dialog.get_content_area().pack_start(box, True, True, 0)
    try:
        while True:
            if len(rows):
                view.get_selection().select_path(0)
            else:
                text.set_text(_("There is no blend to recover."))
            for response in (insert, discard):
                dialog.set_response_sensitive(response, len(rows) > 0)
            response = dialog.run()
            _model, chosen = view.get_selection().get_selected()
            if response not in (insert, discard) or chosen is None:
                return Gimp.PDBStatusType.CANCEL
            entry = results[rows[chosen][0]]
            if response == insert:
                _insert(client, image, entry)
                return Gimp.PDBStatusType.SUCCESS
            client.release(entry["job"])
            rows.remove(chosen)
    finally:
        dialog.destroy()


def _rows(results: list[dict[str, Any]]) -> Iterator[tuple[int, str, str, str]]:
    for number, entry in enumerate(results):
        when = GLib.DateTime.new_from_unix_local(int(entry["ended"])).format("%x %X")
        yield number, when, entry["label"].get("image", ""), entry["label"].get("layer", "")
