"""Actions for dialog.py: methods and models."""

import os
import time
from contextlib import ExitStack, contextmanager

from dialog_scene import BLENDED, DIALOG, METHODS, Scene, action, begin, begin_and_insert, blended, ended, insert, used
from gi.repository import Gimp
from inside import WORK, blend, check, pixels
from screen import GIMP, click, enter, press, screenshot, settle, until, window, windows, xdotool


@action
def compare():
    """A method is chosen by a click on its picture."""

    def user(dialog):
        settle(dialog, 0.3)
        click("compare")
        methods = window(METHODS)
        settle(methods)
        screenshot("compare-methods", METHODS)
        click("gaussian-poisson")
        until(lambda: not windows(METHODS), "the end of the comparison")
        screenshot("compare-chosen", DIALOG)
        begin_and_insert(dialog)

    scene = Scene()
    check(scene.image, scene.above, scene.before, scene.mask, blended(scene, user))
    assert scene.report()["method"] == "gaussian-poisson", scene.report()


@action
def model():
    """A learned model is chosen by hand, first of none and then of two, and has gone when its layer is called again."""

    def choose(dialog):
        time.sleep(1.0)
        before, height = ended(), xdotool("getwindowgeometry", dialog)[-1]
        press(dialog, "alt+m", "End")
        time.sleep(1.0)
        screenshot("model-none", DIALOG)
        press(dialog, "alt+b")
        gone.close()
        xdotool("windowfocus", "--sync", window(GIMP))
        press(dialog, "alt+m")  # back from where one was added
        time.sleep(1.0)
        screenshot("model-first", DIALOG)
        assert ended() == before, "nothing was chosen, but something was blended"
        assert xdotool("getwindowgeometry", dialog)[-1] == height
        press(dialog, "alt+l", "Down")
        begin_and_insert(dialog)

    def meet_none(dialog):
        begin(dialog)()
        screenshot("model-gone", DIALOG)
        press(dialog, "Escape")

    scene = Scene()
    with ExitStack() as gone:
        gone.enter_context(without_models("plain", "tint"))
        check(scene.image, scene.above, scene.before, scene.mask, blended(scene, choose))
    assert scene.report()["method"] == "model:tint"
    new, after = scene.image.get_layers()[0], pixels(scene.image)
    Gimp.Selection.none(scene.image)
    with without_models("tint"):
        result = used(meet_none, lambda: blend(scene.image, new, Gimp.RunMode.INTERACTIVE))
    assert result.index(0) == Gimp.PDBStatusType.CANCEL
    assert scene.names() == BLENDED
    assert pixels(scene.image) == after


@action
def elsewhere():
    """With a learned model chosen and none here, another daemon is named, which has some."""

    def user(dialog):
        time.sleep(1.0)
        press(dialog, "alt+m", "End", "alt+v")
        settle(dialog, 0.5)  # it scrolls to what is unfolded
        enter("daemon", os.environ["ADDRESS"], "Entry")
        settle(dialog, 0.5)
        screenshot("elsewhere-named", DIALOG)
        press(dialog, "alt+b")
        settle(dialog)
        insert(dialog)

    scene = Scene()
    with without_models("plain", "tint"):
        check(scene.image, scene.above, scene.before, scene.mask, blended(scene, user))
    assert scene.report()["method"] == "model:plain"


@contextmanager
def without_models(*names):
    """The daemon lacks these models for as long as the context lasts."""
    there = [os.path.join(WORK, "models", f"{name}.onnx") for name in names]
    for path in there:
        os.rename(path, path + ".away")
    try:
        yield
    finally:
        for path in there:
            os.rename(path + ".away", path)
