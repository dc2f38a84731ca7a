"""Remakes the documents' pictures of the shipped example: before-after.jpg, methods.jpg and, where there is a Chromium, report.jpg.

python tools/document_pictures.py
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

PROJECT = Path(__file__).resolve().parents[1]
IMAGES = PROJECT / "docs/images"
CASE = PROJECT / "examples/cat-on-canvas"
PART = (60, 110, 480, 458)  # x0, y0, x1, y1 of the canvas, around the object
COLUMNS, WIDTH, GAP = 4, 250, 8  # px
REPORT = (1280, 760)


def before_after(results: Path) -> None:
    """The pasted object, and the blend."""
    before, after = (Image.open(results / name).convert("RGB") for name in ("copy-paste.png", "deep.png"))
    both = Image.new("RGB", (before.width + GAP + after.width, before.height), "white")
    both.paste(before, (0, 0))
    both.paste(after, (before.width + GAP, 0))
    both.save(IMAGES / "before-after.jpg", quality=88)


def methods(results: Path, names: list[str]) -> None:
    """The object by each method, with its name."""
    height = WIDTH * (PART[3] - PART[1]) // (PART[2] - PART[0])
    grid = Image.new("RGB", (COLUMNS * WIDTH, -(-len(names) // COLUMNS) * height), "white")
    draw, font = ImageDraw.Draw(grid), ImageFont.load_default(13)
    for number, name in enumerate(names):
        x, y = number % COLUMNS * WIDTH, number // COLUMNS * height
        grid.paste(Image.open(results / f"{name}.png").convert("RGB").resize((WIDTH, height), Image.Resampling.LANCZOS, box=PART), (x, y))
        draw.rectangle((x, y, x + draw.textlength(name, font) + 8, y + 20), fill="black")
        draw.text((x + 4, y + 2), name, "white", font)
    grid.save(IMAGES / "methods.jpg", quality=88)


def report(page: Path, browser: str, work: Path) -> None:
    """The top of the report, in a browser."""
    shot = work / "report.png"
    size = ",".join(map(str, REPORT))
    words = ["--headless", "--no-sandbox", "--hide-scrollbars", f"--window-size={size}", f"--screenshot={shot}", page.as_uri()]
    subprocess.run([browser, *words], check=True, capture_output=True)
    Image.open(shot).convert("RGB").save(IMAGES / "report.jpg", quality=88)


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        words = [sys.executable, "-m", "blend_daemon.cli", "compare", str(CASE), "--output", str(work)]
        subprocess.run(words, check=True)
        results = work / CASE.name
        names = [line.split(",")[1] for line in (work / "results.csv").read_text().splitlines()[1:]]
        before_after(results)
        methods(results, names)
        if browser := shutil.which("chromium"):
            report(work / "report.html", browser, work)
        else:
            print("There is no chromium: report.jpg stays as it is.")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
