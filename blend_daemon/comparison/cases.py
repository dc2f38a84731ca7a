"""Cases: folders with source.png, mask.png, target.png and, where the source does not start at the target's corner, `offset`."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from blend_daemon.files import same
from blend_protocol.errors import BlendError

if TYPE_CHECKING:
    from blend_daemon.images import Scene

PICTURES = ("source.png", "mask.png", "target.png")


@dataclass(frozen=True)
class Case:
    """One blending problem on disk.

    Attributes
    ----------
    folder : the case's folder; its name is the case's
    offset : (x, y) of the source's top-left corner on the target
    fault : why it cannot be read; "" where nothing is known against it
    """

    folder: Path
    offset: tuple[int, int] = (0, 0)
    fault: str = ""

    @property
    def name(self) -> str:
        return self.folder.name

    def read(self) -> Scene:
        """The problem and the target's picture. Raises BlendError as `images.read_scene` does."""
        from blend_daemon import images

        source, mask, target = (self.folder / name for name in PICTURES)
        return images.read_scene(source, mask, target, self.offset)


def find(folders: Iterable[Path]) -> list[Case]:
    """The cases that the folders are or hold, by name; faulty ones too, unless all are. Raises BlendError `case-*`."""
    cases = [case for folder in folders for case in _in(Path(same(folder)), folder)]
    if all(case.fault for case in cases):
        raise BlendError("case-faulty", " ".join(case.fault for case in cases))
    for name in {case.name for case in cases if sum(other.name == case.name for other in cases) > 1}:
        raise BlendError("case-twice", f"Two cases are called {name}.", "Rename a folder: their results would have the same names.")
    return cases


def _in(folder: Path, as_given: Path) -> list[Case]:
    if not folder.is_dir():
        raise BlendError("case-missing", f"{as_given} is not a folder.", f"A case is a folder with {', '.join(PICTURES)}.")
    if _has_some(folder):
        return [_case(folder)]
    try:
        cases = [_case(inner) for inner in sorted(folder.iterdir()) if _has_some(inner)]
    except OSError as error:
        raise BlendError("case-missing", f"{as_given} cannot be read: {error.strerror}.", "Change its permissions.") from error
    if not cases:
        raise BlendError("case-missing", f"{as_given} holds no case.", f"A case is a folder with {', '.join(PICTURES)}.")
    return cases


def _has_some(folder: Path) -> bool:
    return any(os.path.lexists(folder / name) for name in PICTURES)


def _case(folder: Path) -> Case:
    missing = [name for name in PICTURES if not (folder / name).is_file()]
    if missing:
        return Case(folder, fault=f"The case {folder} has no {missing[0]}. It needs {', '.join(PICTURES)}.")
    offset = folder / "offset"
    try:
        x, y = (int(part) for part in offset.read_text().split(",")) if offset.exists() else (0, 0)
    except (ValueError, OSError):
        return Case(folder, fault=f"{offset} does not hold two whole numbers. Write them as X,Y, for example 120,-8.")
    return Case(folder, (x, y))
