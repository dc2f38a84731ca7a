"""What the dialog shows before the blend: the image as it was read, and a sketch that follows it and the controls."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress

from blend_protocol.errors import BlendError
from blend_protocol.framing import Raster
from dib import options
from dib.geometry import Rect
from dib.gimp.snapshot import Glance, Snapshot, Subject, targets
from dib.gimp.stack import Stack, Whole, part_of, subjects
from dib.i18n import _
from dib.job.daemon import command
from dib.job.pace import Pace, forecast
from dib.job.request import View
from dib.job.sketcher import Sketcher
from dib.ui.layout import Layout
from dib.ui.sights import Sights
from dib.words import sentence

FOLLOW = 1.0  # s between looks at the image
SKETCH = 340  # px, longer side of what sketches are made of
STATES = {
    "connecting": lambda: _("Connecting to the blend daemon"),
    "starting": lambda: _("Starting the blend daemon"),
    "loading": lambda: _("The blend daemon is loading its network"),
}


class Outlook:
    """Reads the image and asks for sketches.

    Parameters
    ----------
    layout : where they are shown
    idle : whether there is neither a blend that runs nor a result that is shown
    changed : called when the image has been read anew

    Attributes
    ----------
    subjects : follow the layers that are selected, the lowest first
    snapshot : the image as it was read last, with the lowest object that can be blended; None: it allows no blend
    pace : how long blends take here
    stale : whether it is yet to be read, or read anew
    """

    def __init__(
        self, image, subjects: list[Subject], config, layout: Layout, idle: Callable[[], bool], changed: Callable[[], None]
    ) -> None:
        self._image, self.subjects, self._config, self._layout = image, subjects, config, layout
        self._idle, self._changed = idle, changed
        self.snapshot: Snapshot | None = None
        self._lowest = 0  # which of the subjects it is of
        self.stale = True
        self.pace = Pace()
        self._ready = False  # whether sketches of what was read are shown
        self._sights: Sights | None = None
        self._whole: Whole | None = None  # of several objects: what is seen before any is blended
        self._stack: Stack | None = None  # of several objects: they, as they were read
        self._sketcher: Sketcher | None = None
        self._obstacle: BlendError | None = None  # why there is no snapshot
        self._glance, self._look_at = Glance.of(image), 0.0
        self._recall()
        self._connect()

    def close(self) -> None:
        """Give up the connection and what was read."""
        self.end_sketches()
        self._forget()

    def options(self) -> options.Options:
        """The controls as they are."""
        return options.read(self._config, sliders_as_shown=True)

    def hindrance(self) -> str:
        """Why no blend can be begun, or ""."""
        if self._obstacle is not None:
            return sentence(self._obstacle)
        return _("Choose a model, or another method.") if options.method(self._config) == options.NO_MODEL else ""

    def look(self) -> None:
        """Read the image anew."""
        self.stale, self._ready, self._obstacle = False, False, None
        self._forget()
        try:
            self._glance = Glance.of(self._image)
            self._lowest, self.snapshot = self._read_lowest()
        except BlendError as error:
            self._obstacle = error
            self._layout.preview.clear()
            self._layout.say("")
        else:
            size = self._image.get_width(), self._image.get_height()
            if len(self.subjects) > 1:
                self._whole, part = Whole(self._image), part_of(self._image, self.subjects)
                self._stack = Stack(self._image, self.subjects, self.options())
            else:
                part = self.snapshot.part
            self._layout.preview.set_picture(self._read, part, (0, 0, *size))
        self._layout.notice.tell(self.hindrance())
        self._changed()

    def follow(self) -> bool:
        """Notice what the user does to the image while the dialog is open: to its layers, the selection, or which layer is selected.

        Returns whether it has changed. While the dialog is idle it is then stale.
        """
        if time.monotonic() < self._look_at:
            return False
        self._look_at = time.monotonic() + FOLLOW
        last, self._glance = self._glance, Glance.of(self._image)
        if self._glance == last:
            return False
        if self._idle():
            if self._glance.chosen != last.chosen and self._glance.chosen:
                with suppress(BlendError):  # they cannot be blended together: it stays with those before
                    self.subjects = subjects(self._image, self._glance.chosen)
            if self._glance.valid:
                self._offer_targets()
            self.stale = True
        return True

    def wish(self) -> None:
        """Ask for a sketch of what there is now."""
        if self._sketcher is None:
            self._connect()  # trouble has ended the former one; what is wished for now may go well
        if options.method(self._config) == options.NO_MODEL:
            self._layout.notice.tell(self.hindrance())
        elif self.snapshot is not None and self._sketcher is not None:
            self._sketcher.want(self.sight(), self.options().parameters)

    def sight(self) -> View:
        """What sketches of the lowest object are made of, read when one is wished for."""
        if self._sights is None:
            self._sights = Sights(self.snapshot.view(SKETCH), self._stack.views(SKETCH, self._lowest) if self._stack else iter(()))
        return self._sights.views[0]

    def list_models(self) -> None:
        """Ask the daemon for its models."""
        if self._sketcher is not None:
            self._sketcher.want_models()

    def step(self) -> None:
        """Send to the daemon and hear from it what can be without waiting."""
        if self._sketcher is None:
            return
        try:
            state = self._sketcher.step()
        except BlendError as error:
            self.end_sketches()
            if self._idle():  # a result that is there is as good as ever
                self._layout.say("")
                self._layout.notice.tell(sentence(error))
            return
        if state is not None and self.snapshot is not None and self._idle():
            self._layout.notice.tell(self.hindrance())  # the former one may have been about a daemon that has gone
            self._layout.say(STATES[state]())

    def say_ready(self) -> None:
        """Say what is ready to be blended and how long that takes, once sketches of it are shown."""
        if not self._ready or self.snapshot is None or not self._idle():
            return
        name, count = self.subjects[self._lowest].source.get_name(), len(self.subjects)
        if count > 1:
            text = _("Ready to blend {count} objects from the lowest up, first “{name}”").format(count=count, name=name)
        else:
            text = _("Ready to blend “{name}”").format(name=name)
        present = self.options()
        sizes = [view.part[2] * view.part[3] for view in self._sights.views]
        time = forecast(self.pace, present.address, present.parameters, sizes)
        self._layout.say(f"{text}, {time}" if time else text)

    def end_sketches(self) -> None:
        """End the connection, until another sketch is wished for."""
        if self._sketcher:
            self._sketcher.close()
        self._sketcher = None

    def _recall(self) -> None:
        """Set the controls to the call that made the blended layer."""
        first = self.subjects[0]
        for name, value in first.arguments.items() if len(self.subjects) == 1 else ():
            if name == "target-layer":
                value = self._image.get_layer_by_tattoo(value)
            if value is not None:
                self._config.set_property(name, value)
        if first.is_mask(self._config.get_property("mask")):
            self._config.set_property("grow", 0)
            self._config.set_property("feather", 0)
        self._offer_targets()

    def _offer_targets(self) -> None:
        """List the layers that all of the objects can be blended into."""
        possible = [targets(self._image, subject) for subject in self.subjects]
        self._layout.layers.offer([layer for layer in possible[0] if all(layer in others for others in possible)])

    def _read_lowest(self) -> tuple[int, Snapshot]:
        """The lowest object that can be blended, and the image with it. What cannot is left out, as in a blend.

        Raises BlendError, that of the lowest, if none can.
        """
        errors = []
        for number, subject in enumerate(self.subjects):
            try:
                return number, Snapshot(self._image, subject, self.options())
            except BlendError as error:
                errors.append(error)
        raise errors[0]

    def _read(self, part: Rect, scale: float, pasted: bool) -> Raster:
        if pasted and self._whole is not None:
            return self._whole.picture(part, scale)
        return self.snapshot.picture(part, scale, pasted)

    def _forget(self) -> None:
        for read in (self.snapshot, self._whole, self._stack):
            if read is not None:
                read.close()
        self.snapshot = self._sights = self._whole = self._stack = None

    def _connect(self) -> None:
        self.end_sketches()
        try:
            self._sketcher = Sketcher(command(), self.options().address, self._show, self._layout.models.offer)
        except BlendError as error:
            self._layout.notice.tell(sentence(error))
        self.list_models()

    def _show(self, message, view: View) -> None:
        sights = self._sights
        if sights is None or not self._idle() or not sights.take(view, message.rasters["layer"], message.header["box"]):
            return
        if options.method(self._config) == options.NO_MODEL:
            self.wish()  # the sketch is of the method before; what to do instead is said
            return
        self._layout.notice.tell("")
        self._layout.preview.show_layers(*sights.sketches)
        if self._sketcher.wants_sketch:
            return  # of the controls as they are now, from the lowest object up
        above = sights.next(view)
        if above is None:
            self._ready = True
            self.say_ready()
        else:
            self._sketcher.want(above, self.options().parameters)
