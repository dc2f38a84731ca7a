"""Votes of a blind test, counted."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from blend_daemon.comparison.blind import FORMAT, Key
from blend_daemon.comparison.ranking import Choice, Rank
from blend_protocol.errors import BlendError

LARGEST = 10_000_000  # bytes of a file of votes


@dataclass(frozen=True)
class Vote:
    """One voter's answer about one case."""

    case: str
    choice: Choice


def read(paths: Sequence[Path], key: Key) -> list[Vote]:
    """All votes. Raises BlendError `votes-invalid` or `votes-twice`, which name the file."""
    votes: list[Vote] = []
    voters: dict[str, Path] = {}
    for path in paths:
        content = _parsed(path)
        if content.get("format") != FORMAT or not isinstance(content.get("voter"), str) or not isinstance(content.get("votes"), list):
            raise _invalid(path, "it is not a file that the voting page saved")
        if content.get("test") != key.test:
            raise _invalid(path, "it belongs to another blind test")
        if content["voter"] in voters:
            raise BlendError(
                "votes-twice", f"{path} and {voters[content['voter']]} are of the same voter.", "Give the later one of them alone."
            )
        voters[content["voter"]] = path
        votes += _votes(path, content["votes"], key)
    if not votes:
        raise BlendError("votes-missing", "There is not one vote in the files.", "Vote with the page vote.html first.")
    return votes


def _parsed(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > LARGEST:
            raise _invalid(path, "it is too large")
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BlendError("file-missing", f"{path} cannot be read: {error.strerror}.", "Check the name.") from error
    except (ValueError, RecursionError) as error:
        raise _invalid(path, "it is not JSON") from error
    if not isinstance(content, dict):
        raise _invalid(path, "it is not a file that the voting page saved")
    return content


def _votes(path: Path, given: list[Any], key: Key) -> list[Vote]:
    votes, answered = [], set()
    for vote in given:
        shown = vote.get("shown") if isinstance(vote, dict) else None
        if not isinstance(shown, list) or not all(isinstance(name, str) and name in key.pictures for name in shown):
            raise _invalid(path, "a vote names pictures that the test does not have")
        cases = {key.pictures[name][0] for name in shown}
        if len(cases) != 1 or len(set(shown)) != len(shown) or len(shown) < 2:
            raise _invalid(path, "a vote compares what the test never showed side by side")
        chosen = vote.get("chosen")
        if chosen is not None and chosen not in shown:
            raise _invalid(path, "a vote is for a picture that was not shown")
        if frozenset(shown) in answered:
            raise _invalid(path, "it answers a question twice")
        answered.add(frozenset(shown))
        method = lambda name: key.pictures[name][1]
        votes.append(Vote(cases.pop(), Choice(tuple(map(method, shown)), None if chosen is None else method(chosen))))
    return votes


def _invalid(path: Path, why: str) -> BlendError:
    return BlendError("votes-invalid", f"{path} cannot be counted: {why}.", "Leave it out, or get it anew from its voter.")


def counts(votes: Sequence[Vote]) -> dict[str, dict[str, int]]:
    """Votes by case and method; "" are the answers that see no difference."""
    methods = sorted({method for vote in votes for method in vote.choice.shown})
    table = {case: dict.fromkeys([*methods, ""], 0) for case in sorted({vote.case for vote in votes})}
    for vote in votes:
        table[vote.case][vote.choice.chosen or ""] += 1
    return table


def preferred(table: dict[str, dict[str, int]]) -> dict[str, int]:
    """On how many cases a method has more votes than any other."""
    won: dict[str, int] = dict.fromkeys((method for row in table.values() for method in row if method), 0)
    for row in table.values():
        most = max(count for method, count in row.items() if method)
        winners = [method for method, count in row.items() if method and count == most]
        if len(winners) == 1:
            won[winners[0]] += 1
    return won


def text(table: dict[str, dict[str, int]], ranks: Sequence[Rank], voters: int) -> str:
    """The outcome in words: the histogram, and the ranking."""
    methods = [rank.method for rank in ranks]
    wide = max(map(len, [*methods, "no difference"])) + 2
    total = {method: sum(row[method] for row in table.values()) for method in [*methods, ""]}
    won, longest = preferred(table), max(*total.values(), 1)
    answers = sum(total.values())
    lines = [f"{answers} answers of {voters} voters on {len(table)} cases", ""]
    lines += [f"{'method':{wide}}{'votes':>6}{'share':>7}{'cases won':>11}"]
    for method in [*methods, ""]:
        bar = "#" * round(30 * total[method] / longest)
        cases = str(won[method]) if method else ""
        lines.append(f"{method or 'no difference':{wide}}{total[method]:6}{total[method] / answers:7.0%}{cases:>11}  {bar}".rstrip())
    lines += ["", f"{'Bradley-Terry':{wide}}{'strength':>9}   95 % interval"]
    lines += [f"{rank.method:{wide}}{rank.strength:+9.2f}   {rank.low:+.2f} to {rank.high:+.2f}" for rank in ranks]
    return "\n".join(lines) + "\n"
