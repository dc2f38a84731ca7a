"""Votes as pictures: for each case and in all, how often each method was chosen; and the ranking with its intervals. SVG."""

from __future__ import annotations

from collections.abc import Sequence
from xml.sax.saxutils import escape

from blend_daemon.comparison.ranking import Rank

# Okabe and Ito's colours, which tell apart for every kind of colour vision, brown for black, which a dark page hides; then greys.
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#8a5a2b", "#777777", "#bbbbbb")
LEFT, WIDTH, RIGHT, ROW, GAP = 180, 720, 140, 22, 8  # px
STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#1c1b1a}.faint{fill:#66625d}.title{font-weight:600;font-size:15px}"
    "@media(prefers-color-scheme:dark){text{fill:#eceae6}.faint{fill:#a5a09a}.paper{fill:#161514}.line{stroke:#eceae6}}"
)


def svg(table: dict[str, dict[str, int]], ranks: Sequence[Rank]) -> str:
    """The whole picture. `table` is `tally.counts`' answer."""
    methods = [rank.method for rank in ranks]
    colours = {method: COLOURS[k % len(COLOURS)] for k, method in enumerate(methods)}
    total = {method: sum(row[method] for row in table.values()) for method in methods}
    parts, top = [_text(16, 28, "Votes for each method", "title")], 44
    most = max(*total.values(), 1)
    for method in methods:
        parts += [_label(top, method), _bar(LEFT, top, total[method] / most * WIDTH, colours[method])]
        parts.append(_text(LEFT + total[method] / most * WIDTH + 6, top + 15, str(total[method]), "faint"))
        top += ROW + GAP
    parts.append(_text(16, top + 24, "Votes in each case", "title"))
    top += 40
    most = max(1, *(sum(row.values()) for row in table.values()))
    for case, row in table.items():
        parts.append(_label(top, case))
        left = float(LEFT)
        for method in methods:
            width = row[method] / most * WIDTH
            if width:
                parts.append(_bar(left, top, width, colours[method], f"{method}: {row[method]}"))
                left += width
        if row[""]:
            parts.append(_text(left + 6, top + 15, f"no difference: {row['']}", "faint"))
        top += ROW + GAP
    parts.append(_text(16, top + 24, "Strength (Bradley-Terry, natural logarithm) and 95 % interval", "title"))
    drawn, height = _intervals(ranks, colours, top + 40)
    size = f'width="{LEFT + WIDTH + RIGHT}" height="{height}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox="0 0 {LEFT + WIDTH + RIGHT} {height}" role="img">'
        f'<title>Votes and ranking</title><style>{STYLE}</style><rect class="paper" width="100%" height="100%" fill="#faf9f7"/>'
        + "".join([*parts, *drawn])
        + "</svg>\n"
    )


def _intervals(ranks: Sequence[Rank], colours: dict[str, str], top: float) -> tuple[list[str], float]:
    low, high = min(rank.low for rank in ranks), max(rank.high for rank in ranks)
    at = lambda value: LEFT + (value - low) / max(high - low, 1e-9) * WIDTH
    bottom = top + len(ranks) * (ROW + GAP)
    parts = [
        f'<line class="line" x1="{at(0):.1f}" x2="{at(0):.1f}" y1="{top}" y2="{bottom - GAP}" stroke="#1c1b1a" stroke-dasharray="2 4"/>'
    ]
    for rank in ranks:
        y, colour = top + ROW / 2, colours[rank.method]
        parts.append(_label(top, rank.method))
        parts.append(f'<line x1="{at(rank.low):.1f}" x2="{at(rank.high):.1f}" y1="{y}" y2="{y}" stroke="{colour}" stroke-width="4"/>')
        parts.append(f'<circle cx="{at(rank.strength):.1f}" cy="{y}" r="7" fill="{colour}"/>')
        top += ROW + GAP
    parts += [_text(at(value), bottom + 14, f"{value:+.1f}" if value else "0", "faint", "middle") for value in sorted({low, 0.0, high})]
    return parts, bottom + 30


def _label(top: float, words: str) -> str:
    return _text(LEFT - 10, top + 15, words if len(words) < 24 else words[:22] + "…", "", "end")


def _text(x: float, y: float, words: str, kind: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">{escape(words)}</text>'


def _bar(x: float, y: float, width: float, colour: str, title: str = "") -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{ROW}" fill="{colour}"><title>{escape(title)}</title></rect>'
