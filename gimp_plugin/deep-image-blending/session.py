"""One blend as the user lives it: check, read, connect, submit, follow, insert."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import insertion
import options
from gi.repository import Gimp, GLib
from options import Options
from scene import Scene, Subject

from blend_protocol import messages
from blend_protocol.client import Client, Message, failure
from blend_protocol.errors import BlendError


def _(text):
    return GLib.dgettext("deep-image-blending", text)


STAGES = {"stage 1": lambda: _("first stage"), "stage 2": lambda: _("second stage"), "style": lambda: _("style transfer")}


PREPARING = {
    "loading": lambda: _("The blend daemon is loading its network"),
    "fetching": lambda: _("The blend daemon is fetching its network's weights, about 50 MB, once"),
}
ASK = 1.0  # s between questions for the daemon's state


def run(procedure, run_mode, image, drawables, config) -> Gimp.PDBStatusType:
    """The procedure in any of its run modes. Raises BlendError with a message for the user."""
    subject = Subject.of(image, _check(image, drawables))
    if run_mode == Gimp.RunMode.INTERACTIVE:
        import dialog

        return dialog.run(procedure, image, subject, config)
    session = Session(image, subject, options.read(config, run_mode == Gimp.RunMode.WITH_LAST_VALS))
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
    image, subject : the user's image, and what of it to blend
    chosen : the procedure's arguments
    watch : called with each `progress` and `preview` of the job; None: no previews are asked for

    Attributes
    ----------
    result : the daemon's `result` message, once it is there
    """

    def __init__(self, image, subject: Subject, chosen: Options, watch: Callable[[Message], None] | None = None) -> None:
        self._image, self._subject, self._options, self._watch = image, subject, chosen, watch
        self._client: Client | None = None
        self._job: str | None = None
        self._device = ""
        self._asking, self._ask_at = True, 0.0  # for the daemon's state, until the job makes progress
        self.result: Message | None = None

    def follow(self) -> Iterator[tuple[str, float] | None]:
        """Steps of the job: (what is being done, fraction done), or None when there is nothing to do but wait.

        Ends when the result is there. Raises BlendError.
        """
        yield _("Reading the layers"), 0.0
        if self._options.parameters["method"] == options.NO_MODEL:
            raise BlendError("no-model", _("There is no model chosen."), _("Choose one, or another method."))
        scene = Scene(self._image, self._subject, self._options)
        try:
            request = scene.request()
        finally:
            scene.close()
        self._client = Client(self._options.address, command=command())
        said = None
        for state in self._client.reach():
            if state != said:
                said = state
                yield (_("Starting the blend daemon") if state == "starting" else _("Connecting to the blend daemon")), 0.0
            yield None
        self._job = self._client.submit(
            request.source, request.target, request.mask, request.offset, self._options.parameters, previews=self._watch is not None,
            label={"image": self._image.get_name(), "layer": self._subject.source.get_name()},
        )  # fmt: skip
        while self.result is None:
            arrived = self._client.pump()
            for message in arrived:
                step = self._hear(message)
                if step:
                    yield step
            if not arrived:
                if self._asking and time.monotonic() > self._ask_at:
                    self._ask_at = time.monotonic() + ASK
                    self._client.ask_status()
                yield None

    def _hear(self, message: Message) -> tuple[str, float] | None:
        header = message.header
        if message.type == "status":
            known, self._device = self._device, header["status"]["device"]
            return (self._preparing(), 0.0) if self._asking and known != self._device else None
        if header.get("job", self._job) != self._job:
            return None
        if self._watch and message.type in ("progress", "preview"):
            self._watch(message)
        if message.type == "failed":
            raise failure(message)
        if message.type == "cancelled":
            raise BlendError("cancelled", _("The blend was cancelled."), "")
        if message.type == "accepted":
            return (_waiting(header) if header["position"] else self._preparing()), 0.0
        if message.type == "progress":
            self._asking = False
            return self._told(header), header["evaluation"] / header["evaluations"]
        if message.type == "result":
            self.result = message
        return None

    def _preparing(self) -> str:
        return PREPARING.get(self._device, lambda: _("Preparing the blend"))()

    def _told(self, header: Mapping) -> str:
        stage = STAGES.get(header["stage"], lambda: header["stage"])()
        text = _("Blending, {stage}: {evaluation} of {evaluations}").format(
            stage=stage, evaluation=header["evaluation"], evaluations=header["evaluations"]
        )
        if self._device not in ("", *PREPARING):
            text = _("{text}, on {device}").format(text=text, device=self._device)
        if header["seconds_left"] is not None:
            text = _("{text}, {seconds} s left").format(text=text, seconds=round(header["seconds_left"]))
        return text

    def wait(self, seconds: float) -> None:
        """Sleep until the daemon says something, for at most `seconds`."""
        if self._client:
            self._client.wait(seconds)

    def insert(self, chosen: Options | None = None) -> None:
        """Insert the result, one undo step. `chosen`: with the output of these options instead of those at the start."""
        assert self.result is not None
        header = self.result.header
        if chosen is not None:
            self._options = replace(self._options, output=chosen.output, hide_source=chosen.hide_source)
        insertion.insert(self._image, self._subject, self._options, self.result.rasters["layer"], tuple(header["box"]), header["report"])
        self._client.release(self._job)
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
        if self._client and self._job and self.result is None:
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


def _waiting(header: Mapping) -> str:
    text = _("Waiting for {count} other blends").format(count=header["position"])
    left = header["seconds_to_start"]
    return text if left is None else _("{text}, about {seconds} s").format(text=text, seconds=round(left))


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
