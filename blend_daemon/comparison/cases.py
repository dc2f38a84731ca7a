"""Cases: folders with source.png, mask.png, target.png and, where the source does not start at the target's corner, `offset`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from blend_daemon.errors import BlendError

if TYPE_CHECKING:
    from blend_daemon.engine.problem import Problem
    from blend_daemon.images import Picture

PICTURES = ("source.png", "mask.png", "target.png")


@dataclass(frozen=True)
class Case:
    """One blending problem on disk.

    Attributes
    ----------
    folder : the case's folder; its name is the case's
    offset : (x, y) of the source's top-left corner on the target
    """

    folder: Path
    offset: tuple[int, int]

    @property
    def name(self) -> str:
        return self.folder.name

    def read(self) -> tuple[Problem, Picture]:
        """The problem, and the target's picture. Raises BlendError as `images.read` and `Problem.from_arrays` do."""
        from blend_daemon import images
        from blend_daemon.engine import Problem

        source, mask, target = (images.read(self.folder / name, name.removesuffix(".png")) for name in PICTURES)
        problem = Problem.from_arrays(images.in_colours_of(source, target), target.raster, images.grey_mask(mask), self.offset)
        return problem, target


def find(folders: Iterable[Path]) -> list[Case]:
    """The cases that the folders are or hold, by name. Raises BlendError `case-*`."""
    cases = [case for folder in folders for case in _in(folder.resolve(), folder)]
    for name in {case.name for case in cases if sum(other.name == case.name for other in cases) > 1}:
        raise BlendError("case-twice", f"Two cases are called {name}.", "Rename a folder: their results would have the same names.")
    return cases


def _in(folder: Path, as_given: Path) -> list[Case]:
    if not folder.is_dir():
        raise BlendError("case-missing", f"{as_given} is not a folder.", f"A case is a folder with {', '.join(PICTURES)}.")
    if any((folder / name).exists() for name in PICTURES):
        return [_case(folder)]
    cases = [_case(inner) for inner in sorted(folder.iterdir()) if any((inner / name).exists() for name in PICTURES)]
    if not cases:
        raise BlendError("case-missing", f"{as_given} holds no case.", f"A case is a folder with {', '.join(PICTURES)}.")
    return cases


def _case(folder: Path) -> Case:
    missing = [name for name in PICTURES if not (folder / name).is_file()]
    if missing:
        raise BlendError("case-incomplete", f"The case {folder} has no {missing[0]}.", f"It needs {', '.join(PICTURES)}.")
    offset = folder / "offset"
    try:
        x, y = (int(part) for part in offset.read_text().split(",")) if offset.exists() else (0, 0)
    except (ValueError, OSError) as error:
        raise BlendError(
            "offset-invalid", f"{offset} does not hold two whole numbers.", "Write them as X,Y, for example 120,-8."
        ) from error
    return Case(folder, (x, y))
