"""One blend as the user lives it: check, read, connect, submit, follow, insert."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import canvas
from gi.repository import Gimp, GLib

from blend_daemon.errors import BlendError
from blend_daemon.protocol import messages
from blend_daemon.protocol.client import Client, Message, failure

__all__ = ["BlendError", "Session", "run"]

SLIDERS = ("style", "content", "colour", "seam")
PARAMETERS = ("preset", *SLIDERS, "seed")


def _(text):
    return GLib.dgettext("deep-image-blending", text)


def run(procedure, run_mode, image, drawables, config) -> Gimp.PDBStatusType:
    """The procedure in any of its run modes. Raises BlendError with a message for the user."""
    layer = _check(image, drawables)
    if run_mode == Gimp.RunMode.INTERACTIVE:
        import dialog

        return dialog.run(procedure, image, layer, config)
    session = Session(image, layer, config)
    Gimp.progress_init(_("Deep Image Blending"))
    try:
        for step in session.follow():
            if step is None:
                session.wait(0.1)
            else:
                text, fraction = step
                Gimp.progress_set_text(text)
                Gimp.progress_update(fraction)
        session.insert()
    finally:
        session.close()
        Gimp.progress_end()
    Gimp.displays_flush()
    return Gimp.PDBStatusType.SUCCESS


class Session:
    """One job from the image's pixels to the new layer.

    Parameters
    ----------
    image, layer : the user's image and the source layer
    config : the procedure's arguments
    watch : called with each `progress` and `preview` of the job; None: no previews are asked for
    """

    def __init__(self, image, layer, config, watch: Callable[[Message], None] | None = None) -> None:
        self._image, self._layer, self._watch = image, layer, watch
        self._target = config.get_property("target") or "layer-below"
        self._parameters = {name: config.get_property(name) for name in PARAMETERS}
        self._client: Client | None = None
        self._job: str | None = None
        self._result: Message | None = None

    def follow(self) -> Iterator[tuple[str, float] | None]:
        """Steps of the job: (what is being done, fraction done), or None when there is nothing to do but wait.

        Ends when the result is there. Raises BlendError.
        """
        yield _("Reading the layers"), 0.0
        request = canvas.read(self._image, self._layer, self._target)
        self._client = Client()
        said = None
        for state in self._client.reach(command()):
            if state != said:
                said = state
                yield (_("Starting the blend daemon") if state == "starting" else _("Connecting to the blend daemon")), 0.0
            yield None
        self._job = self._client.submit(
            request.source, request.target, request.mask, request.offset, self._parameters, previews=self._watch is not None
        )
        while self._result is None:
            arrived = self._client.pump()
            for message in arrived:
                step = self._hear(message)
                if step:
                    yield step
            if not arrived:
                yield None
        yield _("Inserting the layer"), 1.0

    def _hear(self, message: Message) -> tuple[str, float] | None:
        header = message.header
        if header.get("job", self._job) != self._job:
            return None
        if self._watch and message.type in ("progress", "preview"):
            self._watch(message)
        if message.type == "failed":
            raise failure(message)
        if message.type == "cancelled":
            raise BlendError("cancelled", _("The blend was cancelled."), "")
        if message.type == "accepted":
            waiting = _("Waiting for {count} other blends").format(count=header["position"])
            return (waiting if header["position"] else _("Preparing the blend")), 0.0
        if message.type == "progress":
            left = header["seconds_left"]
            text = _("Blending, {stage}").format(stage=header["stage"])
            if left is not None:
                text = _("{text}, {seconds} s left").format(text=text, seconds=round(left))
            # One step stays back for the result and the new layer.
            return text, header["evaluation"] / (header["evaluations"] + 1)
        if message.type == "result":
            self._result = message
        return None

    def wait(self, seconds: float) -> None:
        """Sleep until the daemon says something, for at most `seconds`."""
        if self._client:
            self._client.wait(seconds)

    def insert(self) -> None:
        """Insert the result. One undo step."""
        assert self._result is not None
        name = _("{name} blended").format(name=self._layer.get_name()) if self._layer.is_valid() else ""
        header = self._result.header
        canvas.insert(self._image, self._layer, self._result.rasters["layer"], tuple(header["box"]), name, header["report"])
        for note in header["report"]["notes"]:
            Gimp.message(note)

    def adjust(self, sliders: Mapping[str, float]) -> bool:
        """Re-aim the running job; False if it has not been sent yet."""
        if self._job is None:
            return False
        self._client.adjust(self._job, sliders)
        return True

    def finish(self) -> None:
        """Stop the running job; its result is the best so far."""
        if self._job is not None:
            self._client.finish(self._job)

    def cancel(self) -> None:
        """Give the job up; the daemon is told at once."""
        if self._client and self._job and self._result is None:
            self._client.cancel(self._job)
            # The socket is closed next and must not take the word with it; the daemon's answer says that it arrived.
            for _step in range(20):
                self._client.wait(0.05)
                try:
                    if any(message.type in messages.LAST for message in self._client.pump()):
                        break
                except BlendError:
                    break

    def close(self) -> None:
        """End the connection."""
        if self._client:
            self._client.close()
            self._client = None


def _check(image, drawables):
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


def command() -> list[str]:
    """How to start the daemon: what the installer wrote down, else what is on the PATH."""
    note = Path(__file__).resolve().parent / "daemon.json"
    if note.is_file():
        return json.loads(note.read_text())["command"]
    search = os.pathsep.join([os.environ.get("PATH", ""), str(Path.home() / ".local/bin")])
    return [shutil.which("blend-daemon", path=search) or "blend-daemon"]
