"""A blend as the user lives it, without GIMP: the plug-in's `job` and a scripted daemon, over a real socket."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from scripted_daemon import ScriptedDaemon, accepted, progress, result

from blend_protocol import runtime
from blend_protocol.client import Part
from blend_protocol.errors import BlendError
from blend_protocol.framing import Message, Raster
from dib import options
from dib.job import kept
from dib.job.history import LIMIT, Entry, History
from dib.job.request import Request, View
from dib.job.series import Series
from dib.job.session import Session
from dib.job.sketcher import Sketcher

PARAMETERS = {"method": "deep", "preset": "draft"}
LABEL = {"image": "a.xcf", "layer": "object"}


def raster(height: int, width: int) -> Raster:
    return Raster("uint8", (height, width, 4), bytes(4 * height * width))


REQUEST = Request(raster(4, 6), raster(20, 30), None, (103, 202), Part((100, 200), (640, 480), raster(3, 4)))


class Thing:
    """One object of a series, which notes what is laid."""

    def __init__(self, name: str, trouble: BlendError | None = None) -> None:
        self.label = {"image": "a.xcf", "layer": name}
        self.laid: list[tuple[int, int, int, int]] = []
        self._trouble = trouble

    def request(self) -> Request:
        if self._trouble:
            raise self._trouble
        return REQUEST

    def lay(self, result: Message, box: tuple[int, int, int, int]) -> None:
        self.laid.append(box)


@pytest.fixture(autouse=True)
def state(tmp_path, monkeypatch):
    monkeypatch.setenv("BLEND_DAEMON_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("BLEND_DAEMON_RUNTIME_DIR", str(tmp_path / "run"))
    runtime.private_dir(runtime.runtime_dir())


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "socket"


def until(truth: Callable[[], object], step: Callable[[], object] = lambda: None) -> None:
    deadline = time.monotonic() + 10
    while not truth():
        assert time.monotonic() < deadline
        step()
        time.sleep(0.002)


def lived(session: Session | Series) -> list[tuple[str, float]]:
    """What a session says until its end."""
    said = []
    for step in session.follow():
        if step is None:
            session.wait(0.05)
        else:
            said.append(step)
    return said


def test_a_session_ends_with_the_result_and_where_it_belongs(path):
    seen = []
    with ScriptedDaemon(path) as there:
        session = Session(REQUEST, PARAMETERS, LABEL, there.address, seen.append)
        said = lived(session)
        assert session.place(session.result) == (103, 202, 6, 4)
        session.release()
        session.close()
    assert [message.type for message in seen] == ["progress"]
    assert said[-1][1] == 0.5
    assert "first stage" in said[-1][0]
    (sent,) = there.sent("submit")
    assert (sent.header["offset"], sent.header["parameters"], sent.header["label"]) == ([103, 202], PARAMETERS, LABEL)
    assert (sent.header["corner"], sent.header["canvas"]) == ([100, 200], [640, 480])
    assert sent.rasters["samples"].shape == (3, 4, 4)
    assert len(there.sent("release")) == 1


def failing(message: Message) -> Iterator[Message]:
    yield accepted(message)
    yield Message("failed", {"job": message.header["job"], "code": "out-of-memory", "message": "No room.", "hint": "Select less."})


def test_the_daemons_error_is_raised(path):
    with ScriptedDaemon(path, play=failing) as there:
        session = Session(REQUEST, PARAMETERS, LABEL, there.address)
        with pytest.raises(BlendError, match="No room") as error:
            lived(session)
        assert (error.value.code, error.value.hint) == ("out-of-memory", "Select less.")
        session.close()


def unending(message: Message) -> Iterator[Message]:
    yield accepted(message)
    yield progress(message, 0, 0)  # which a division must survive


def test_a_running_session_is_steered_and_cancelled(path):
    with ScriptedDaemon(path, play=unending) as there:
        session = Session(REQUEST, PARAMETERS, LABEL, there.address, lambda message: None)
        steps = session.follow()
        assert not session.adjust({"style": 3})  # not sent yet
        until(lambda: "0 of 0" in str(next(steps)))
        assert session.adjust({"style": 3})
        session.finish()
        session.cancel()
        session.close()
        until(lambda: there.sent("cancel"))
        assert [message.header["sliders"] for message in there.sent("adjust")] == [{"style": 3}]
        assert len(there.sent("finish")) == 1


def test_several_objects_are_one_blend_with_one_progress(path):
    things = [Thing("lower"), Thing("upper")]
    with ScriptedDaemon(path) as there:
        series = Series(things, PARAMETERS, there.address)
        said = lived(series)
        assert [(number, box) for number, _result, box in series.results()] == [(0, (103, 202, 6, 4)), (1, (103, 202, 6, 4))]
        series.release()
        until(lambda: len(there.sent("release")) == 2)
        series.close()
        assert [message.header["label"]["layer"] for message in there.sent("submit")] == ["lower", "upper"]
    assert [thing.laid for thing in things] == [[(103, 202, 6, 4)]] * 2
    assert (series.failures, series.result is not None) == ([], True)
    texts = [text for text, _fraction in said]
    assert texts[0].startswith("Object 1 of 2: ")
    assert texts[-1].startswith("Object 2 of 2: ")
    fractions = [fraction for _text, fraction in said]
    assert fractions == sorted(fractions)
    assert {0.25, 0.75} <= set(fractions)


def test_what_fails_of_several_is_left_out_and_noted(path):
    trouble = BlendError("object-outside", "Outside.", "")

    def play(message: Message) -> Iterator[Message]:
        if message.header["label"]["layer"] == "refused":
            yield from failing(message)
        else:
            yield accepted(message)
            yield result(message)

    with ScriptedDaemon(path, play=play) as there:
        series = Series([Thing("away", trouble), Thing("good"), Thing("refused")], PARAMETERS, there.address)
        lived(series)
        series.close()
    assert [(name, error.code) for name, error in series.failures] == [("away", "object-outside"), ("refused", "out-of-memory")]
    assert [number for number, _result, _box in series.results()] == [1]


def test_if_all_of_several_fail_that_is_the_error(path):
    with ScriptedDaemon(path, play=failing) as there:
        series = Series([Thing("one"), Thing("two")], PARAMETERS, there.address)
        with pytest.raises(BlendError, match="No room"):
            lived(series)
        series.close()
        assert len(there.sent("submit")) == 2


def test_without_a_daemon_not_every_object_is_tried(monkeypatch):
    monkeypatch.setattr("blend_protocol.client.FAR", 0.05)
    things = [Thing("one"), Thing("two")]
    series = Series(things, PARAMETERS, "ipc:///nowhere/at/all")
    with pytest.raises(BlendError) as error:
        lived(series)
    series.close()
    assert error.value.code == "daemon-unreachable"
    assert series.failures == []


class Endless(ScriptedDaemon):
    """Its blends end when they are told to."""

    def _answers(self, message: Message) -> Iterator[Message]:
        if message.type == "submit":
            yield accepted(message)
            yield progress(message, 1, 2)
        elif message.type == "finish":
            yield result(self.sent("submit")[-1])
        else:
            yield from super()._answers(message)


def test_several_that_are_stopped_keep_what_is_done(path):
    with Endless(path) as there:
        series = Series([Thing("first"), Thing("second"), Thing("third")], PARAMETERS, there.address, lambda message: None)
        steps = series.follow()
        until(lambda: "Object 1 of 3: Blending" in str(next(steps)))
        series.finish()
        for _step in steps:
            series.wait(0.01)
        series.close()
        assert len(there.sent("finish")) == len(there.sent("submit")) == 1
    assert [number for number, _result, _box in series.results()] == [0]
    assert [name for name, _error in series.failures] == ["second", "third"]


def test_without_a_model_there_is_nothing_to_ask_for():
    with pytest.raises(BlendError, match="no model chosen"):
        options.parsed({"method": options.NO_MODEL})


def test_of_several_wishes_the_newest_is_sketched(path):
    view = View(raster(4, 6), raster(4, 6), None, (0, 0, 6, 4))
    shown = []
    with ScriptedDaemon(path) as there:
        sketcher = Sketcher(["false"], there.address, lambda message, of: shown.append(of))
        for style in range(5):
            sketcher.want(view, {**PARAMETERS, "style": style})
        until(lambda: shown, sketcher.step)
        sketcher.close()
        assert [message.header["parameters"]["style"] for message in there.sent("sketch")] == [4]
    assert shown == [view]


def test_a_sketch_that_the_daemon_refuses_is_an_error(path):
    def refuse(message: Message) -> Iterator[Message]:
        yield Message("failed", {"job": message.header["job"], "code": "mask-empty", "message": "Nothing.", "hint": ""})

    with ScriptedDaemon(path, sketch=refuse) as there:
        sketcher = Sketcher(["false"], there.address, lambda message, of: None)
        sketcher.want(View(raster(4, 6), raster(4, 6), None, (0, 0, 6, 4)), PARAMETERS)
        with pytest.raises(BlendError, match="Nothing"):
            until(lambda: False, sketcher.step)
        sketcher.close()


def test_what_a_daemon_keeps_is_listed_fetched_and_released(path):
    with ScriptedDaemon(path, kept=["one", "two"]) as there:
        keeper = kept.Keeper("", there.address)
        kept.waited(keeper.ask())
        assert [entry.entry["label"]["layer"] for entry in keeper.kept] == ["one", "two"]
        message = kept.waited(keeper.kept[1].fetch())
        assert message.header["job"] == keeper.kept[1].job
        keeper.kept[1].release()
        keeper.client.close()
        assert [message.header["job"] for message in there.sent("release")] == [keeper.kept[1].job]
    assert kept.method_label(dict(message.header["report"])) == "Deep blending, Draft"


def test_a_daemon_that_does_not_answer_is_trouble_of_its_own():
    keeper = kept.Keeper("", "ipc:///nowhere/at/all")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("blend_protocol.client.FAR", 0.05)
        kept.waited(keeper.ask())
    keeper.client.close()
    assert keeper.trouble.code == "daemon-unreachable"
    assert keeper.kept == []


def test_a_blend_of_before_tells_its_settings(path):
    chosen = options.Options("layer-below", None, "selection", 0, 0, "new-layer", True, None, PARAMETERS)
    with ScriptedDaemon(path) as there:
        series = Series([Thing("object")], PARAMETERS, there.address)
        lived(series)
        series.close()
    assert Entry(series, chosen).about() == "Deep blending, Draft, Style 50, Content 50, Colour 50, Seam 50"


def test_of_too_many_blends_the_oldest_go_first():
    history = History()
    made = [Series([Thing("object")], PARAMETERS) for _number in range(LIMIT + 2)]
    for series in made:
        history.add(Entry(series, None))
    assert [entry.series for entry in history.entries] == made[2:]
    assert history.has(made[2])
    assert not history.has(made[1])


@pytest.mark.parametrize(
    ("seconds", "told"), [(5, "just now"), (300, "5 min ago"), (3 * 3600, "3 h ago"), (47 * 3600, "47 h ago"), (4 * 86400, "4 days ago")]
)
def test_the_age_of_a_blend(seconds, told):
    assert kept.age(seconds) == told
