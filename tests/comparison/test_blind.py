"""The blind test's files: what they give away, what they refuse."""

from __future__ import annotations

import json

import numpy as np
import pytest
from command import run
from pictures import load

from blend_daemon.comparison import blind, tally
from blend_daemon.comparison.compare import picture
from blend_daemon.comparison.pictures import bytes_of
from blend_protocol.errors import BlendError


@pytest.fixture
def folder(compared, tmp_path):
    folder = tmp_path / "blind"
    folder.mkdir()
    assert blind.make(compared, folder, pairs=False) == 2
    return folder


def questions(folder):
    page = (folder / blind.PAGE).read_text()
    return json.loads(page.split('id="data">')[1].split("</script>")[0])["questions"]


def ballot(folder, voter="v1", choose=0, **changes):
    """What the page saves of a voter who always takes the picture at one place."""
    key = blind.open_key(folder / blind.KEY)
    votes = [{"shown": shown, "chosen": shown[choose]} for shown in questions(folder)]
    return {"format": blind.FORMAT, "test": key.test, "voter": voter, "name": "", "votes": votes, **changes}


def written(folder, content, name="votes.json"):
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_nothing_that_voters_see_names_a_method_and_the_key_does_not_at_a_glance(folder):
    for path in folder.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert not any(name in content for name in (b"copy-paste", b"poisson", b"alpha", b"cat & coffee", b"tIME", b"iTXt")), path
    assert sorted(path.name for path in folder.iterdir()) == [blind.KEY, blind.PICTURES, blind.PAGE]


def test_the_key_tells_whose_each_picture_is(folder, compared):
    key = blind.open_key(folder / blind.KEY)
    assert len(key.pictures) == 6, "failed methods are left out"
    for name, (case, method) in key.pictures.items():
        shown = load(folder / "pictures" / f"{name}.png")
        assert np.array_equal(shown, bytes_of(load(picture(compared, case, method))))
    for shown in questions(folder):
        assert len({key.pictures[name][0] for name in shown}) == 1
        assert {key.pictures[name][1] for name in shown} == {"copy-paste", "alpha", "poisson"}


def test_pairs_ask_for_every_pair_once(compared, tmp_path):
    assert blind.make(compared, tmp_path, pairs=True) == 6
    assert len({frozenset(pair) for pair in questions(tmp_path)}) == 6


def test_a_changed_key_is_refused(folder):
    key = json.loads((folder / blind.KEY).read_text())
    for changes in ({"sealed": key["sealed"][:-8] + "AAAAAAA="}, {"test": "0" * 64}, {"sealed": 7}, {"format": "other"}):
        path = written(folder, {**key, **changes}, "changed")
        with pytest.raises(BlendError) as error:
            blind.open_key(path)
        assert error.value.code == "key-invalid"
        assert str(path) in str(error.value)


def test_votes_are_counted_by_method(folder):
    key = blind.open_key(folder / blind.KEY)
    votes = []
    for shown in questions(folder):
        votes.append({"shown": shown, "chosen": next(name for name in shown if key.pictures[name][1] == "poisson")})
    votes[1]["chosen"] = None
    path = written(folder, ballot(folder, votes=votes))
    counted = tally.counts(tally.read([path], key))
    assert sum(row["poisson"] for row in counted.values()) == 1
    assert sum(row[""] for row in counted.values()) == 1


def spoiled(folder, how):
    good = ballot(folder)
    first, second = good["votes"]
    return {
        "no json": "{", "a list": [], "deep": "[" * 100_000, "another test": {**good, "test": "1" * 64},
        "no voter": {**good, "voter": None},
        "votes that are none": {**good, "votes": [7]}, "an unknown picture": {**good, "votes": [{**first, "shown": ["x", "y"]}]},
        "not shown": {**good, "votes": [{**first, "chosen": second["chosen"]}]},
        "across cases": {**good, "votes": [{"shown": [first["chosen"], second["chosen"]], "chosen": None}]},
        "one alone": {**good, "votes": [{"shown": first["shown"][:1], "chosen": None}]},
        "twice the same": {**good, "votes": [first, {**first, "shown": first["shown"][::-1]}]},
        "an unhashable choice": {**good, "votes": [{**first, "chosen": {}}]}, "nothing at all": "",
    }[how]  # fmt: skip


@pytest.mark.parametrize(
    "how",
    ["no json", "a list", "deep", "another test", "no voter", "votes that are none", "an unknown picture", "not shown", "across cases",
     "one alone", "twice the same", "an unhashable choice", "nothing at all"],
)  # fmt: skip
def test_votes_that_cannot_be_right_are_refused_by_name(how, folder):
    good = written(folder, ballot(folder, "other"), "good.json")
    bad = written(folder, spoiled(folder, how), "bad.json")
    with pytest.raises(BlendError) as error:
        tally.read([good, bad], blind.open_key(folder / blind.KEY))
    assert error.value.code == "votes-invalid"
    assert str(bad) in str(error.value)


def test_the_same_voter_twice_is_refused_by_name(folder):
    one, other = (written(folder, ballot(folder, choose=k), f"{k}.json") for k in (0, 1))
    with pytest.raises(BlendError) as error:
        tally.read([one, other], blind.open_key(folder / blind.KEY))
    assert error.value.code == "votes-twice"
    assert str(one) in str(error.value)
    assert str(other) in str(error.value)


def test_the_command_makes_a_test_and_counts_its_votes(compared, tmp_path):
    folder = tmp_path / "blind"
    made = run("--blind", compared, "--output", folder)
    assert made.returncode == 0, made.stderr
    papers = [written(tmp_path, ballot(folder, f"v{k}", k), f"{k}.json") for k in range(3)]
    done = run("--tally", folder / blind.KEY, *papers, "--output", tmp_path / "tally")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("6 answers of 3 voters on 2 cases")
    assert (tmp_path / "tally/tally.txt").read_text() == done.stdout
    assert (tmp_path / "tally/tally.svg").read_text().startswith("<svg")
    again = run("--blind", compared, "--output", folder)
    assert again.returncode == 2
    assert "is not empty" in again.stderr
    before = (folder / blind.KEY).read_bytes()
    assert run("--blind", compared, "--output", folder, "--force").returncode == 2
    assert (folder / blind.KEY).read_bytes() == before, "a key that votes were cast under is never lost"
