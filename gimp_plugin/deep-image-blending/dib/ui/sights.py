"""What the sketches of the objects are made of: the lowest as it was read, each above it with the sketches of those below in its target."""

from __future__ import annotations

from collections.abc import Iterator

from blend_protocol.framing import Raster
from dib.geometry import Rect, unscaled
from dib.job.request import View
from dib.ui.preview import lay, pixbuf


class Sights:
    """The sketches are taken from the lowest object up, and again from it when the controls have changed.

    Parameters
    ----------
    lowest : of the lowest object
    above : of those above it, read when their turn comes, and whether the sketches below show in its target

    Attributes
    ----------
    sketches : (layer, its place on the canvas), the lowest first
    views : as they were read, of those whose turn has come
    """

    def __init__(self, lowest: View, above: Iterator[tuple[View, bool]]) -> None:
        self._above = above
        self._onto = [False]  # whether the sketches below show in its target
        self._asked = [lowest]  # the views with the sketches below
        self.views = [lowest]
        self.sketches: list[tuple[Raster, tuple[float, float, float, float]]] = []

    def take(self, view: View, layer: Raster, box: Rect) -> bool:
        """A sketch of `view` has come, which fills `box` of it. Returns False if it is of none of these objects."""
        number = next((number for number, asked in enumerate(self._asked) if asked is view), None)
        if number is None:
            return False
        height, width, _channels = view.source.shape
        self.sketches[number : number + 1] = [(layer, unscaled(box, view.part, (width, height)))]
        return True

    def next(self, view: View) -> View | None:
        """What comes after the sketch of `view`; None after the highest."""
        number = next(number for number, asked in enumerate(self._asked) if asked is view) + 1
        if number == len(self.views):
            read = next(self._above, None)
            if read is None:
                return None
            self.views.append(read[0])
            self._onto.append(read[1])
        asked = self._laid(number) if self._onto[number] else self.views[number]
        self._asked[number : number + 1] = [asked]
        return asked

    def _laid(self, number: int) -> View:
        view = self.views[number]
        height, width, channels = view.target.shape
        target = pixbuf(view.target).copy()  # what is made of bytes cannot be drawn on
        for layer, box in self.sketches[:number]:
            lay(target, pixbuf(layer), box, view.part, width / view.part[2])
        data = target.read_pixel_bytes().get_data()
        return View(view.source, Raster("uint8", (height, width, channels), data), view.mask, view.part)
