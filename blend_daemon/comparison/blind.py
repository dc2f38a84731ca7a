"""The blind test: shuffled pictures without names, a page to vote on, and the key, sealed so that a glance does not tell.

The page carries a SHA-256 of the key, and each file of votes repeats it: the key cannot be changed after the votes. Whoever decodes the
key on purpose can read it, so it stays with the one who makes the test.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import secrets
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import pyvips

from blend_daemon import images
from blend_daemon.comparison import files
from blend_daemon.comparison.compare import picture
from blend_daemon.comparison.measure import Trial
from blend_daemon.comparison.pictures import bytes_of
from blend_daemon.comparison.report import filled
from blend_protocol.errors import BlendError

KEY, PAGE, PICTURES = "key.sealed", "vote.html", "pictures"
FORMAT = "blend-daemon blind test 1"


@dataclass(frozen=True)
class Key:
    """What is hidden from the voters.

    Attributes
    ----------
    test : SHA-256 of the key, which names the test
    pictures : a picture's name -> (case, method)
    """

    test: str
    pictures: dict[str, tuple[str, str]]


def make(comparison: Path, output: Path, pairs: bool) -> int:
    """Write a blind test of a comparison's results into a new or empty folder. Returns the number of questions.

    Raises
    ------
    BlendError
        `comparison-missing`, `comparison-unfit` where no case has two results, `output-exists`, `output-unwritable`
    """
    cases = _comparable(files.read_table(comparison))
    if not cases:
        raise BlendError("comparison-unfit", f"{comparison} has no case with two results.", "Compare at least two methods.")
    files.prepare_folder(output, force=False)
    random = secrets.SystemRandom()
    named = {secrets.token_hex(8): (case, method) for case, methods in cases.items() for method in methods}
    (output / PICTURES).mkdir(exist_ok=True)
    # In the order of the random names, so that not even the files' times tell anything.
    for name in sorted(named):
        case, method = named[name]
        pixels = bytes_of(images.read(picture(comparison, case, method), "result").raster)
        image = pyvips.Image.new_from_array(np.ascontiguousarray(pixels), interpretation="srgb")
        files.write_bytes(output / PICTURES / f"{name}.png", image.write_to_buffer(".png"))
    sealed = zlib.compress(json.dumps({"nonce": secrets.token_hex(16), "pictures": named}).encode())
    test = hashlib.sha256(sealed).hexdigest()
    groups = [[name for name in named if named[name][0] == case] for case in cases]
    questions = [list(pair) for group in groups for pair in (combinations(group, 2) if pairs else [group])]
    for shown in questions:
        random.shuffle(shown)
    random.shuffle(questions)
    files.write_text(output / PAGE, filled("vote.html", {"format": FORMAT, "test": test, "questions": questions}))
    key = {"format": FORMAT, "test": test, "sealed": base64.b64encode(sealed).decode()}
    files.write_text(output / KEY, json.dumps(key, indent=2) + "\n")
    return len(questions)


def open_key(path: Path) -> Key:
    """Unseal a key. Raises BlendError `key-invalid`."""
    try:
        key = json.loads(path.read_text(encoding="utf-8"))
        sealed = base64.b64decode(key["sealed"], validate=True)
        if key["format"] != FORMAT or hashlib.sha256(sealed).hexdigest() != key["test"]:
            raise ValueError("the key does not fit its own test")
        pictures = {name: (str(case), str(method)) for name, (case, method) in json.loads(zlib.decompress(sealed))["pictures"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, binascii.Error, zlib.error) as error:
        raise BlendError("key-invalid", f"{path} is not the key of a blind test, or it is damaged.", f"It is the file {KEY}.") from error
    return Key(key["test"], pictures)


def _comparable(trials: Sequence[Trial]) -> dict[str, list[str]]:
    """The methods with a result, for each case that has two."""
    done = [trial for trial in trials if not trial.failure]
    cases = {trial.case: [other.method for other in done if other.case == trial.case] for trial in done}
    return {case: methods for case, methods in cases.items() if len(methods) > 1}
