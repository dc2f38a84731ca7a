"""Translations: Python's own gettext, so that also what knows no GIMP speaks the language, which GIMP hands on to its plug-ins."""

from __future__ import annotations

import gettext
from pathlib import Path

DOMAIN = "deep-image-blending"
_ = gettext.translation(DOMAIN, Path(__file__).resolve().parent.parent / "locale", fallback=True).gettext
