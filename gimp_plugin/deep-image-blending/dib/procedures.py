"""What the plug-in's procedures do when GIMP calls them. Each raises BlendError with a message for the user."""

from __future__ import annotations

from typing import Any

from gi.repository import Gimp

from blend_protocol import keys
from blend_protocol.errors import BlendError
from dib import options
from dib.gimp import insertion
from dib.gimp.snapshot import Snapshot, Subject
from dib.i18n import _
from dib.job.kept import Keeper, Kept, waited
from dib.job.session import Session


def blend(procedure, run_mode, image, drawables, config) -> Gimp.PDBStatusType:
    """The filter, in any of its run modes."""
    subject = Subject.of(image, _check(image, drawables))
    if run_mode == Gimp.RunMode.INTERACTIVE:
        from dib.ui import dialog

        return _status(dialog.run(procedure, image, subject, config))
    chosen = options.read(config, run_mode == Gimp.RunMode.WITH_LAST_VALS)
    Gimp.progress_init(_("Deep Image Blending"))
    Gimp.progress_set_text(_("Reading the layers"))
    snapshot = Snapshot(image, subject, chosen)
    try:
        request = snapshot.request()
    finally:
        snapshot.close()
    session = Session(request, chosen.parameters, subject.label(), chosen.address)
    try:
        for step in session.follow():
            if step is None:
                session.wait(0.1)
            else:
                text, fraction = step
                Gimp.progress_set_text(text)
                Gimp.progress_update(fraction)
        insertion.insert(image, subject, chosen, session.result, session.place(session.result))
        session.release()
    finally:
        session.close()
        Gimp.progress_end()
    return Gimp.PDBStatusType.SUCCESS


def recover(run_mode, image, config) -> Gimp.PDBStatusType:
    """The blends that were finished, but never inserted."""
    keepers = [Keeper("")]
    try:
        keepers += [Keeper(daemon.name) for daemon in keys.daemons()]
        if run_mode == Gimp.RunMode.INTERACTIVE:
            from dib.ui import recover_window

            return _status(recover_window.run(keepers, lambda kept: _recover(kept, image)))
        _recover(_wanted(keepers, config.get_property("job") or None), image)
    finally:
        for keeper in keepers:
            keeper.client.close()
    return Gimp.PDBStatusType.SUCCESS


def show_daemon(run_mode) -> Gimp.PDBStatusType:
    """The window about the daemon."""
    if run_mode == Gimp.RunMode.NONINTERACTIVE:
        raise BlendError("interactive", _("This is a window for people."), _("Scripts call “blend-daemon status”."))
    from dib.ui import daemon_window

    daemon_window.run()
    return Gimp.PDBStatusType.SUCCESS


def _status(done: bool) -> Gimp.PDBStatusType:
    return Gimp.PDBStatusType.SUCCESS if done else Gimp.PDBStatusType.CANCEL


def _wanted(keepers: list[Keeper], job: str | None) -> Kept:
    """The blend of that id, or the newest of the first daemon that has any."""
    for keeper in keepers:
        waited(keeper.ask())
        for kept in keeper.kept:
            if job in (None, kept.job):
                return kept
    if keepers[0].trouble:
        raise keepers[0].trouble
    raise BlendError("nothing-to-recover", _("There is no blend to recover."), "")


def _recover(kept: Kept, image) -> None:
    """Insert a blend that a daemon keeps, which then need not keep it."""
    insertion.recover(image, waited(kept.fetch()), kept.entry["label"].get("layer", ""))
    kept.release()


def _check(image, drawables) -> Any:
    if len(drawables) != 1:
        raise BlendError("one-layer", _("Deep Image Blending works on one layer."), _("Select just the layer that holds the object."))
    layer = drawables[0]
    if isinstance(layer, Gimp.LayerMask):
        layer = Gimp.Layer.from_mask(layer)
    if not isinstance(layer, Gimp.Layer):
        raise BlendError("not-a-layer", _("This is a channel, not a layer."), _("Select the layer that holds the object."))
    if image.get_base_type() == Gimp.ImageBaseType.INDEXED:
        raise BlendError("indexed", _("The image is indexed: it can hold no blended colours."), _("Choose Image > Mode > RGB first."))
    if image.get_floating_sel() is not None:
        raise BlendError("floating", _("There is a floating selection."), _("Anchor it or make it a new layer first (Layer menu)."))
    return layer
