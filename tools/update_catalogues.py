"""Bring the plug-in's template and catalogues up to date with its sources: new strings come in untranslated, old ones go.

python tools/update_catalogues.py
"""

from __future__ import annotations

import ast
from pathlib import Path

import polib

PLUGIN = Path(__file__).resolve().parent.parent / "gimp_plugin/deep-image-blending"
TEMPLATE = PLUGIN / "locale/deep-image-blending.pot"
TABLES = {"options.py": slice(1, 3), "words.py": slice(1, 2)}  # which parts of their rows are passed to `_` where they are used


def strings() -> dict[str, list[tuple[str, int]]]:
    """Every translatable string of the sources, with where it stands."""
    found: dict[str, list[tuple[str, int]]] = {}
    for source in sorted(PLUGIN.rglob("*.py")):
        tree = ast.parse(source.read_text())
        for node in ast.walk(tree):
            texts = []
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "_" and isinstance(node.args[0], ast.Constant):
                texts = [node.args[0]]
            elif source.name in TABLES and node in tree.body and isinstance(node, ast.Assign) and isinstance(node.value, ast.Tuple):
                rows = node.value.elts if isinstance(node.value.elts[0], ast.Tuple) else [node.value]
                texts = [text for row in rows for text in row.elts[TABLES[source.name]]]
            for text in texts:
                found.setdefault(text.value, []).append((str(source.relative_to(PLUGIN)), text.lineno))
    return found


def main() -> None:
    template = polib.POFile()
    template.metadata = {"Project-Id-Version": "deep-image-blending", "Content-Type": "text/plain; charset=UTF-8"}
    for text, places in strings().items():
        template.append(polib.POEntry(msgid=text, occurrences=places))
    template.save(str(TEMPLATE))
    for path in sorted(TEMPLATE.parent.glob("*.po")):
        catalogue = polib.pofile(str(path))
        catalogue.merge(template)
        for entry in catalogue.obsolete_entries():
            catalogue.remove(entry)
        catalogue.save()


if __name__ == "__main__":
    main()
