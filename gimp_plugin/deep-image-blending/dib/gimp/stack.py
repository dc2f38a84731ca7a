"""The objects of one call, from the lowest up: each is blended onto what lies below it, those that were blended before it included."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise

from gi.repository import Gimp

from blend_protocol.errors import BlendError
from blend_protocol.framing import Message, Raster
from dib.geometry import Rect, grown, intersection, union
from dib.gimp import insertion, rasters
from dib.gimp.snapshot import Snapshot, Subject, all_layers
from dib.i18n import _
from dib.job.request import Request, View
from dib.options import Options


def subjects(image: Gimp.Image, layers: Sequence[Gimp.Layer]) -> list[Subject]:
    """The subjects when the filter is called on these layers, the lowest first; each once. Raises BlendError if one holds another."""
    chosen = {layer.get_id() for layer in layers}
    found: dict[int, Subject] = {}
    for layer in reversed(all_layers(image)):
        if layer.get_id() not in chosen:
            continue
        parent = layer.get_parent()
        while parent is not None:
            if parent.get_id() in chosen:
                raise BlendError(
                    "nested",
                    _("The group “{name}” is selected, and a layer in it too.").format(name=parent.get_name()),
                    _("Select either the group or its layers."),
                )
            parent = parent.get_parent()
        subject = Subject.of(image, layer)
        found[subject.source.get_id()] = subject
    return list(found.values())


class Lone:
    """One object, for `job.series.Series`; `read` gives what to send."""

    def __init__(self, subject: Subject, read: Callable[[], Request]) -> None:
        self.label: Mapping[str, str] = subject.label()
        self.request = read

    def lay(self, result: Message, box: Rect) -> None:
        pass  # there is none above


def requested(image: Gimp.Image, subject: Subject, options: Options) -> Request:
    """What to send of one object. Nothing of the image is held after that. Raises BlendError."""
    snapshot = Snapshot(image, subject, options)
    try:
        return snapshot.request()
    finally:
        snapshot.close()


class Stack:
    """Several objects in a duplicate of the image, in which the results are laid as they come. Close it after use.

    Attributes
    ----------
    objects : the lowest first, for `job.series.Series`
    """

    def __init__(self, image: Gimp.Image, subjects: Sequence[Subject], options: Options) -> None:
        labels = [subject.label() for subject in subjects]
        self.copy = image.duplicate()
        self.copy.undo_disable()
        twins = {layer.get_id(): twin for layer, twin in zip(all_layers(image), all_layers(self.copy), strict=True)}
        of = lambda layer: None if layer is None else twins.get(layer.get_id())
        self.options = replace(options, target_layer=of(options.target_layer))
        self.ours: set[int] = set()  # sources and results, by their ids
        self.objects = []
        for subject, label in zip(subjects, labels, strict=True):
            twin = Subject(of(subject.source), of(subject.blended), subject.arguments)
            self.ours |= {layer.get_id() for layer in (twin.source, twin.blended) if layer is not None}
            self.objects.append(Stacked(self, twin, label))

    def views(self, size: int, lowest: int) -> Iterator[tuple[View, bool]]:
        """Of each object above that of number `lowest`, read when its turn comes: what its sketch is made of, at most `size` px a side, and
        whether the objects below show in its target. What cannot be read is left out, as in a blend.
        """
        for below, object_ in pairwise(self.objects[lowest:]):
            below.hide()
            with suppress(BlendError):
                yield object_.view(size)

    def close(self) -> None:
        """Give the duplicate up."""
        self.copy.delete()


class Stacked:
    """One of the objects of a `Stack`."""

    def __init__(self, stack: Stack, subject: Subject, label: Mapping[str, str]) -> None:
        self.label = label
        self._stack, self._subject = stack, subject

    def request(self) -> Request:
        return requested(self._stack.copy, self._subject, self._options())

    def view(self, size: int) -> tuple[View, bool]:
        """As `Stack.views` has it. Raises BlendError."""
        options = self._options()
        snapshot = Snapshot(self._stack.copy, self._subject, options)
        try:
            return snapshot.view(size), options.target == "visible-below"
        finally:
            snapshot.close()

    def hide(self) -> None:
        """Hide what a result would hide or replace."""
        options, blended = self._stack.options, self._subject.blended
        if options.hide_source or options.output == "replace":
            self._subject.source.set_visible(False)
        if blended is not None:
            blended.set_visible(False)

    def lay(self, result: Message, box: Rect) -> None:
        layer = insertion.insert(self._stack.copy, self._subject, self._stack.options, result, box)
        self._stack.ours.add(layer.get_id())

    def _options(self) -> Options:
        options = self._stack.options
        return replace(options, target="visible-below") if options.target == "layer-below" and self._lies_on_ours() else options

    def _lies_on_ours(self) -> bool:
        """Whether the layer below is another of the objects, alone hardly anything to blend into."""
        source = self._subject.source
        parent, position = source.get_parent(), self._stack.copy.get_item_position(source)
        layers = parent.get_children() if parent else self._stack.copy.get_layers()
        return position + 1 < len(layers) and layers[position + 1].get_id() in self._stack.ours


def insert_all(
    image: Gimp.Image, subjects: Sequence[Subject], options: Options, results: Sequence[tuple[int, Message, Rect]]
) -> list[tuple[str, BlendError]]:
    """Insert (number of the subject, result, place on the canvas), the lowest first, as one undo step.

    Returns those whose layer has gone meanwhile, (name, error) each. Raises BlendError if none can be inserted.
    """
    there = [result for result in results if image.is_valid() and subjects[result[0]].source.is_valid()]
    if len(results) == 1 or not there:
        number, result, box = results[0]
        insertion.insert(image, subjects[number], options, result, box)  # which raises what is to be told
        return []
    insertion.check_mode(image, results[0][1].rasters["layer"])
    failures, layers = [], []
    image.undo_group_start()
    try:
        for number, result, box in results:
            try:
                layers.append(insertion.insert(image, subjects[number], options, result, box))
            except BlendError as error:
                failures.append((_("object {number}").format(number=number + 1), error))  # its layer has gone, and its name
        image.set_selected_layers(layers)
    finally:
        image.undo_group_end()
    return failures


class Whole:
    """All of the image that is visible, as it was. Close it after use."""

    def __init__(self, image: Gimp.Image) -> None:
        self._copy = image.duplicate()
        self._visible = Gimp.Layer.new_from_visible(self._copy, self._copy, "visible")

    def picture(self, part: Rect, scale: float) -> Raster:
        """A part of the canvas, as uint8 RGBA at `scale`."""
        return rasters.colours(self._visible, part, "uint8", scale, always_rgb=True)

    def close(self) -> None:
        """Give the duplicate up."""
        self._copy.delete()


def part_of(image: Gimp.Image, subjects: Sequence[Subject]) -> Rect:
    """(x, y, width, height) of all the objects' layers with their surroundings on the canvas."""
    canvas = 0, 0, image.get_width(), image.get_height()
    rects = [(*subject.source.get_offsets()[1:], subject.source.get_width(), subject.source.get_height()) for subject in subjects]
    whole = union([found for rect in rects if (found := intersection(rect, canvas))] or [canvas])
    return grown(whole, max(whole[2:]) // 8 + 16, canvas)
