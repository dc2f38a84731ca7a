"""What the plug-in's procedures do when GIMP calls them. Each raises BlendError with a message for the user."""

from __future__ import annotations

from gi.repository import Gimp

from blend_protocol import keys, runtime
from blend_protocol.errors import BlendError
from dib import options
from dib.gimp import insertion, stack
from dib.gimp.snapshot import Subject
from dib.gimp.stack import Lone, Stack, requested
from dib.i18n import _
from dib.job import daemon, setup
from dib.job.kept import Keeper, Kept, waited
from dib.job.series import Series
from dib.words import failed


def blend(procedure, run_mode, image, drawables, config) -> tuple[Gimp.PDBStatusType, str]:
    """The filter, in any of its run modes. Returns also what could not be blended, a line each, where there are several objects."""
    subjects = stack.subjects(image, _check(image, drawables))
    if not _is_set_up(run_mode):
        return Gimp.PDBStatusType.CANCEL, ""
    if run_mode == Gimp.RunMode.INTERACTIVE:
        from dib.ui import dialog

        inserted, failures = dialog.run(procedure, image, subjects, config)
    else:
        inserted, failures = True, _blend(image, subjects, options.read(config, run_mode == Gimp.RunMode.WITH_LAST_VALS))
    if failures and run_mode != Gimp.RunMode.NONINTERACTIVE:
        Gimp.message(failed(failures))
    return _status(inserted), failed(failures)


def _blend(image, subjects: list[Subject], chosen: options.Options) -> list[tuple[str, BlendError]]:
    """Blend without a window. Returns what could not be blended, and why."""
    Gimp.progress_init(_("Deep Image Blending"))
    Gimp.progress_set_text(_("Reading the layers"))
    several = Stack(image, subjects, chosen) if len(subjects) > 1 else None
    alone = Lone(subjects[0], lambda: requested(image, subjects[0], chosen))
    series = Series(several.objects if several else [alone], chosen.parameters, chosen.address)
    try:
        for step in series.follow():
            if step is None:
                series.wait(0.1)
            else:
                text, fraction = step
                Gimp.progress_set_text(text)
                Gimp.progress_update(fraction)
        failures = series.failures + stack.insert_all(image, subjects, chosen, series.results())
        series.release()
    finally:
        series.close()
        if several:
            several.close()
        Gimp.progress_end()
    return failures


def recover(run_mode, image, config) -> Gimp.PDBStatusType:
    """The blends that were finished, but never inserted."""
    keepers = [Keeper("")]
    try:
        keepers += [Keeper(daemon.name) for daemon in keys.daemons()]
        if run_mode == Gimp.RunMode.INTERACTIVE:
            from dib.ui import recover_window

            return _status(recover_window.run(keepers, config, lambda kept: _recover(kept, image, config)))
        _recover(_wanted(keepers, config.get_property("job") or None), image, config)
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


def _is_set_up(run_mode) -> bool:
    """Whether there is a blend daemon; a person is offered to install it."""
    if not daemon.missing():
        return True
    if run_mode == Gimp.RunMode.INTERACTIVE and setup.can_install():
        from dib.ui import setup_window

        return setup_window.run()
    if daemon.NOTE.is_file() or runtime.sandboxed():
        return True  # what is wrong with the daemon is told when it cannot be started
    raise BlendError(
        "not-installed",
        _("The blend daemon is not installed."),
        _("Filters > Combine > Blend Daemon… installs it.") if setup.can_install() else _("Run install.sh again."),
    )


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


def _recover(kept: Kept, image, config) -> None:
    """Insert a blend that a daemon keeps, which then need not keep it."""
    insertion.recover(image, waited(kept.fetch()), kept.entry["label"].get("layer", ""), config.get_property("output") or "new-layer")
    kept.release()


def _check(image, drawables) -> list[Gimp.Layer]:
    """The layers that the filter was called on. Raises BlendError if it cannot be."""
    layers = []
    for drawable in drawables:
        layer = Gimp.Layer.from_mask(drawable) if isinstance(drawable, Gimp.LayerMask) else drawable
        if not isinstance(layer, Gimp.Layer):
            raise BlendError("not-a-layer", _("This is a channel, not a layer."), _("Select the layer that holds the object."))
        layers.append(layer)
    if not layers:
        raise BlendError("no-layer", _("No layer is selected."), _("Select the layer that holds the object."))
    if image.get_base_type() == Gimp.ImageBaseType.INDEXED:
        raise BlendError("indexed", _("The image is indexed: it can hold no blended colours."), _("Choose Image > Mode > RGB first."))
    if image.get_floating_sel() is not None:
        raise BlendError("floating", _("There is a floating selection."), _("Anchor it or make it a new layer first (Layer menu)."))
    return layers
