"""The blends of one opening of the dialog, so that each can be looked at again and inserted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dib import options
from dib.i18n import _
from dib.job.kept import method_label
from dib.job.series import Series

LIMIT = 12


@dataclass(frozen=True)
class Entry:
    """A finished blend.

    Attributes
    ----------
    series : which has its results
    chosen : the arguments that it was begun with
    """

    series: Series
    chosen: options.Options

    def about(self) -> str:
        """Its settings, in words; sliders as they were in the end."""
        report: Mapping[str, Any] = self.series.result.header["report"] if self.series.result else {}
        uses = options.uses(self.chosen.parameters["method"])
        labels = {name: _(label).replace("_", "") for name, label, _about in options.SLIDERS}
        sliders = [f"{label} {report[name]:.0f}" for name, label in labels.items() if name in uses and name in report]
        return ", ".join([method_label(dict(report)), *sliders])


class History:
    """Up to LIMIT blends, the oldest first.

    Attributes
    ----------
    entries : as they were made
    """

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def add(self, entry: Entry) -> None:
        """One more; the oldest goes where there are too many."""
        self.entries.append(entry)
        while len(self.entries) > LIMIT:
            self.entries.pop(0).series.close()

    def has(self, series: Series | None) -> bool:
        """Whether its blend is among them."""
        return any(entry.series is series for entry in self.entries)

    def close(self) -> None:
        """End the connections."""
        for entry in self.entries:
            entry.series.close()
        self.entries = []
