"""What is said of a blend's time before it."""

from __future__ import annotations

import pytest

from dib.job.pace import Pace, forecast, spelled

STANDARD = {"method": "deep", "preset": "standard", "device": "auto", "working_size": 0, "iterations": 0, "style": 50}
DRAFT = {**STANDARD, "preset": "draft"}
PIXELS = 100_000


def report(seconds: float, evaluations: int) -> dict:
    return {"seconds": {"blend": seconds}, "evaluations": evaluations}


@pytest.fixture
def pace(tmp_path) -> Pace:
    return Pace(tmp_path / "pace.json")


def test_nothing_is_said_before_there_was_a_blend(pace):
    assert forecast(pace, None, STANDARD, [PIXELS]) == ""


def test_a_blend_tells_of_the_next_and_of_another_preset_and_size(pace):
    pace.learn(None, STANDARD, PIXELS, report(62, 62))
    assert pace.expect(None, STANDARD, PIXELS) == pytest.approx(62)
    assert pace.expect(None, {**STANDARD, "style": 3}, PIXELS) == pytest.approx(62)
    # 62 and 18 s were measured, the one after the other.
    assert 12 < pace.expect(None, DRAFT, PIXELS) < 27
    assert pace.expect(None, STANDARD, 2 * PIXELS) == pytest.approx(124)
    assert pace.expect(None, STANDARD, 10_000_000) == pytest.approx(62 * 512**2 / PIXELS)  # no more is worked on
    assert pace.expect("studio", STANDARD, PIXELS) is None
    assert pace.expect(None, {**STANDARD, "method": "painterly"}, PIXELS) is None
    assert pace.expect(None, {**STANDARD, "device": "cuda"}, PIXELS) is None


def test_what_is_long_is_told_with_what_is_quicker(pace):
    pace.learn(None, STANDARD, PIXELS, report(40, 62))
    assert forecast(pace, None, STANDARD, [PIXELS]) == "about 40 s"
    assert forecast(pace, None, STANDARD, [PIXELS] * 6).startswith("about 4 min; as a Draft ")
    assert forecast(pace, None, STANDARD, [PIXELS, PIXELS // 2]) == "about 60 s; as a Draft 21 s"
    assert "Draft" not in forecast(pace, None, DRAFT, [PIXELS] * 20)


def test_a_blend_that_was_stopped_or_painted_nothing_is_not_learned_from(pace):
    pace.learn(None, STANDARD, PIXELS, report(5, 1))
    pace.learn(None, STANDARD, PIXELS, report(5, 61))
    pace.learn(None, {"method": "poisson", "preset": "standard"}, PIXELS, report(1, 1))
    pace.learn(None, STANDARD, PIXELS, {})
    assert pace.expect(None, STANDARD, PIXELS) is None


def test_the_middle_of_recent_blends_counts(pace):
    for seconds in [500] * 9 + [10] * 5:
        pace.learn(None, STANDARD, PIXELS, report(seconds, 62))
    assert pace.expect(None, STANDARD, PIXELS) == pytest.approx(10)


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"a": 1}', '{" auto deep": ["x"]}', "\xff"])
def test_a_file_that_is_something_else_is_begun_anew(pace, tmp_path, text):
    (tmp_path / "pace.json").write_text(text, "latin-1")
    assert pace.expect(None, STANDARD, PIXELS) is None
    pace.learn(None, STANDARD, PIXELS, report(40, 62))
    assert pace.expect(None, STANDARD, PIXELS) == pytest.approx(40)


def test_where_nothing_can_be_written_nothing_is_learned(tmp_path):
    nowhere = Pace(tmp_path / "missing/pace.json")
    nowhere.learn(None, STANDARD, PIXELS, report(40, 62))
    assert nowhere.expect(None, STANDARD, PIXELS) is None


def test_times_as_they_are_spelled():
    assert [spelled(seconds) for seconds in (0.2, 42, 99, 150)] == ["1 s", "42 s", "99 s", "2 min"]
