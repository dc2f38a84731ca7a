"""Actions for dialog.py: a blend from its beginning to its end, whichever that is."""

import os
import subprocess
import time
from contextlib import suppress
from functools import partial

from dialog_scene import (
    BLENDED,
    DIALOG,
    NAMES,
    QUICK,
    Scene,
    action,
    begin,
    begin_and_insert,
    blended,
    insert,
    keep_and_insert,
    launched_dialog,
    look,
    quiet,
    under_way,
    used,
    wait_for,
)
from gi.repository import Gimp
from inside import Client, blend, check, cut_out, layer_of, lost, pixels
from screen import (
    GIMP,
    STATUS_BAR,
    click,
    launch,
    press,
    press_in_gimp,
    screenshot,
    settle,
    status_bar,
    until,
    wait_text,
    widget,
    widgets,
    window,
    windows,
    xdotool,
)

from blend_protocol import runtime


@action
def ok():
    scene = Scene()
    check(scene.image, scene.above, scene.before, scene.mask, blended(scene, begin_and_insert, preset="draft", iterations=0))
    assert (scene.report()["preset"], scene.report()["colour"]) == ("draft", 50)
    after = pixels(scene.image)
    screenshot("ok-done", GIMP)
    press_in_gimp("ctrl+z")
    wait_for(scene, NAMES)
    assert pixels(scene.image) == scene.whole
    press_in_gimp("ctrl+y")
    wait_for(scene, BLENDED)
    assert pixels(scene.image) == after
    assert not scene.above.get_visible()


@action
def group():
    """Layers to go on with: undone and redone, twice, without a word on stderr."""
    scene = Scene()
    arguments = {"preset": "painting", "style": 90, "iterations": QUICK, "output": "layers"}
    assert blended(scene, begin_and_insert, **arguments).index(0) == Gimp.PDBStatusType.SUCCESS
    tree = lambda: [[child.get_name() for child in layer.get_children()] if layer.is_group() else [] for layer in scene.image.get_layers()]
    there, after = tree(), pixels(scene.image)
    assert scene.names() == BLENDED
    assert len(there[0]) == 2
    with quiet():
        for _time in range(2):
            press_in_gimp("ctrl+z")
            wait_for(scene, NAMES)
            assert pixels(scene.image) == scene.whole
            assert scene.above.get_visible()
            press_in_gimp("ctrl+y")
            wait_for(scene, BLENDED)
            assert tree() == there
            assert pixels(scene.image) == after
            assert scene.report()["preset"] == "painting"
            assert not scene.above.get_visible()


@action
def again():
    def user(dialog):
        begin(dialog)()
        begin(dialog, "alt+g")()
        insert(dialog)

    scene = Scene()
    check(scene.image, scene.above, scene.before, scene.mask, blended(scene, user, iterations=QUICK))
    press_in_gimp("ctrl+z")
    wait_for(scene, NAMES)


@action
def reblend():
    def learned(dialog):
        wait_text("state", "Ready to blend “object”, about ")  # from the first blend it is known how long they take
        begin_and_insert(dialog)

    scene = Scene()
    assert blended(scene, begin_and_insert, preset="painting", style=90, iterations=QUICK, grow=6).index(0) == Gimp.PDBStatusType.SUCCESS
    first = scene.image.get_layers()[0]
    old, width = first.get_tattoo(), first.get_width()
    assert width == 72
    Gimp.Selection.none(scene.image)
    # The preset of the call is overridden by the layer's own, and the layer's alpha, now the mask, has been grown already.
    result = used(learned, lambda: blend(scene.image, first, Gimp.RunMode.INTERACTIVE, preset="paper", grow=6))
    assert result.index(0) == Gimp.PDBStatusType.SUCCESS
    assert scene.names() == BLENDED
    assert scene.image.get_layers()[0].get_tattoo() != old
    assert scene.image.get_layers()[0].get_width() == width
    assert not scene.above.get_visible()
    press_in_gimp("ctrl+z")
    until(lambda: scene.image.get_layers()[0].get_tattoo() == old, "the former layer", 15)


@action
def steer():
    def user(dialog):
        begin(dialog)
        under_way()
        press(dialog, "alt+u", "ctrl+a", "3", "Tab")
        look("steer-running")
        keep_and_insert(dialog)

    scene = Scene()
    # Long enough for the slider to move meanwhile, however busy the machine is.
    check(scene.image, scene.above, scene.before, scene.mask, blended(scene, user, preset="painting", iterations=600))
    assert (scene.report()["preset"], scene.report()["colour"]) == ("painting", 3)


@action
def keep():
    def user(dialog):
        begin(dialog)
        under_way()
        look("keep-running")
        keep_and_insert(dialog)

    scene = Scene()
    check(scene.image, scene.above, scene.before, scene.mask, blended(scene, user, preset="paper", iterations=0))
    assert scene.report()["evaluations"] < 1000


@action
def preset():
    def user(dialog):
        press(dialog, "alt+p", "Down")
        settle(dialog, 0.3)
        screenshot("preset-chosen", DIALOG)
        begin_and_insert(dialog)

    scene = Scene()
    check(scene.image, scene.above, scene.before, scene.mask, blended(scene, user, preset="standard", iterations=QUICK))
    assert (scene.report()["preset"], scene.report()["style"]) == ("photo", 0)


def stop_daemon():
    with Client() as client:
        client.shutdown()
        # The daemon gives a job that runs a moment, and then takes the best so far. Our client stays, or would take its word along.
        until(lambda: not runtime.socket_path().exists(), "the end of the daemon")


@action
def stopped():
    """The daemon is stopped while the dialog waits, and while a blend runs."""

    def user(dialog):
        settle(dialog, 0.5)
        stop_daemon()
        settle(dialog, 0.5)
        screenshot("stopped-gone", DIALOG)
        press(dialog, "alt+u", "ctrl+a", "3", "Tab")
        until(runtime.socket_path().exists, "another daemon for the sketch of the moved slider")
        begin(dialog)
        under_way()
        time.sleep(1.0)  # so that there is something to give
        stop_daemon()
        settle(dialog, 0.5)
        screenshot("stopped-result", DIALOG)
        begin(dialog, "alt+g")()
        insert(dialog)

    scene = Scene()
    check(scene.image, scene.above, scene.before, scene.mask, blended(scene, user, preset="painting", iterations=0))


@action
def cancel():
    """Before the blend, while it runs, and when it is done."""

    def while_it_runs(dialog):
        begin(dialog)
        under_way()
        press(dialog, "Escape")

    def when_it_is_done(dialog):
        begin(dialog)()
        press(dialog, "Escape")

    scene = Scene()
    for user, arguments in (
        (lambda dialog: press(dialog, "Escape"), {}),
        (when_it_is_done, {"iterations": QUICK}),
        (while_it_runs, {"preset": "paper", "iterations": 0}),
    ):
        result = blended(scene, user, **arguments)
        assert result.index(0) == Gimp.PDBStatusType.CANCEL, (user, result.index(0))
        scene.untouched()


@action
def closed():
    """The image's window is closed while the dialog shows the result."""
    scene = Scene()  # called from the menu: as an argument of a script's call the image would outlive its window
    dialog = launched_dialog(scene)
    begin(dialog)()
    before = len(lost())
    press_in_gimp("ctrl+w")
    until(lambda: not scene.image.is_valid(), "the end of the image", 10)
    press(dialog, "Return")
    time.sleep(1.0)
    screenshot("closed-error", DIALOG)
    assert before > 0
    assert len(lost()) == before, "the blend is not kept"
    press(dialog, "Escape")
    until(lambda: not windows(DIALOG), "the end of the dialog", 10)


@action
def history():
    """Two blends; the first is looked at again, and inserted."""

    def user(dialog):
        begin(dialog)()
        assert not any(found["name"] == "blend-0" and found.get("seen") for found in widgets())  # one alone is nothing to choose from
        press(dialog, "alt+m", "Down")
        until(lambda: "Press “Blend Again”" in widget("state")["text"], "another method")
        begin(dialog, "alt+g")()
        screenshot("history-two", DIALOG)
        xdotool("windowraise", dialog)  # no window manager keeps it above GIMP's window as it grows
        click("blend-0")
        wait_text("state", "Poisson")
        insert(dialog)

    scene = Scene()
    check(scene.image, scene.above, scene.before, scene.mask, blended(scene, user, method="poisson"))
    assert scene.report()["method"] == "poisson"
    assert scene.report()["gimp"]["arguments"]["method"] == "poisson"
    assert lost(), "what was not inserted is not kept"


@action
def several():
    """Three objects from the menu, one of which cannot be blended; one undo takes all back."""
    scene = Scene()
    image = scene.image
    Gimp.Selection.none(image)
    cut_out(scene.above, 20, 20, 60, 50)
    upper = layer_of(image, "object.png", 60, 50, "upper")
    cut_out(upper, 10, 10, 60, 50)
    away = layer_of(image, "object.png", 500, 500, "away")
    before, names = pixels(image), scene.names()
    image.undo_disable()
    image.undo_enable()
    image.set_selected_layers([away, upper, scene.above])
    time.sleep(1.0)
    launch("deep image blending")
    dialog = window(DIALOG)
    wait_text("state", "Ready to blend 3 objects from the lowest up, first “object”")
    screenshot("several-ready", DIALOG)
    press(dialog, "alt+b")
    wait_text("state", "Object 2 of 3: ")
    screenshot("several-second", DIALOG)
    wait_text("state", "Done in ")
    wait_text("notice", "“away”")
    screenshot("several-done", DIALOG)
    insert(dialog)
    wait_for(scene, ["away", "upper blended", "upper", "object blended", "object", "picture"])
    assert pixels(image) != before
    press_in_gimp("ctrl+z")
    wait_for(scene, names)
    assert pixels(image) == before
    press_in_gimp("ctrl+y")
    wait_for(scene, ["away", "upper blended", "upper", "object blended", "object", "picture"])


@action
def several_without_the_lowest():
    """The lowest of two objects cannot be blended: the other is sketched, and blended."""

    def user(dialog):
        wait_text("state", "Ready to blend 2 objects from the lowest up, first “object”")
        press(dialog, "alt+b")
        wait_text("state", "Done in ")
        wait_text("notice", "“away”")
        insert(dialog)

    scene = Scene()
    away = layer_of(scene.image, "object.png", 500, 500, "away", position=1)
    call = partial(
        blend, scene.image, [away, scene.above], Gimp.RunMode.INTERACTIVE, target="visible-below", preset="painting", iterations=QUICK
    )
    assert used(user, call).index(0) == Gimp.PDBStatusType.SUCCESS
    assert scene.names() == ["object blended", "object", "away", "picture"]


@action
def several_sketched():
    """Of two objects both are sketched, the upper onto the lower; and how long they take is learned from a blend of both."""
    scene = Scene()
    image = scene.image
    Gimp.Selection.none(image)
    cut_out(scene.above, 20, 20, 60, 50)
    upper = layer_of(image, "object.png", 60, 30, "upper")
    cut_out(upper, 10, 10, 60, 50)
    with suppress(FileNotFoundError):
        os.remove(os.path.join(os.environ["BLEND_DAEMON_STATE_DIR"], "pace.json"))
    ready = "Ready to blend 2 objects from the lowest up, first “object”"

    def picture_of(dialog):
        settle(dialog, 0.3)
        screenshot("several-sketched", DIALOG)
        x, y, width, height = widget("picture")["rect"]
        crop = ["-crop", f"{width}x{height}+{x}+{y}", "-depth", "8", "rgb:-"]
        return subprocess.run(["import", "-window", "root", *crop], capture_output=True).stdout

    def look_at_both(dialog):
        wait_text("state", ready)
        sketched = picture_of(dialog)
        x, y, width, height = widget(text="Hold for before")["rect"]
        xdotool("mousemove", str(x + width // 2), str(y + height // 2), "mousedown", "1")
        pasted = picture_of(dialog)
        xdotool("mouseup", "1", "mousemove", "1270", "990")
        off = [abs(a - b) > 2 for a, b in zip(sketched, pasted, strict=True)]
        assert 0 < len(off) > 1000 * sum(off), f"{sum(off)} of {len(off)} values are not those of a copy"
        press(dialog, "Escape")

    def blend_both(dialog):
        wait_text("state", ready)
        assert ", about " not in widget("state")["text"]
        press(dialog, "alt+b")
        wait_text("state", "Done in ")
        press(dialog, "Escape")

    def know_the_time(dialog):
        wait_text("state", f"{ready}, about ")
        press(dialog, "Escape")

    painting = {"preset": "painting", "iterations": QUICK}
    for user, arguments in ((look_at_both, {"method": "copy-paste"}), (blend_both, painting), (know_the_time, painting)):
        call = partial(blend, image, [upper, scene.above], Gimp.RunMode.INTERACTIVE, **arguments)
        assert used(user, call).index(0) == Gimp.PDBStatusType.CANCEL
    assert scene.names() == ["upper", *NAMES]


@action
def launched():
    """From GIMP's own menus: the filter, repeated by Ctrl+F, and cancelled in GIMP's status bar, which kills the plug-in."""
    scene = Scene()
    dialog = launched_dialog(scene)
    begin(dialog)()
    insert(dialog)
    wait_for(scene, BLENDED)
    old = scene.image.get_layers()[0].get_tattoo()
    time.sleep(1.0)
    press_in_gimp("ctrl+f")
    # Called on the blended layer, which it replaces.
    until(lambda: scene.names() == BLENDED and scene.image.get_layers()[0].get_tattoo() != old, "a second blend", 60)
    launch("deep image blending")
    dialog = window(DIALOG)
    settle(dialog, 0.3)
    press(dialog, "alt+p", "End")  # the paper's, which takes long enough to be cancelled
    settle(dialog, 0.3)
    press(dialog, "alt+b")
    keep_and_insert(dialog)
    with Client() as client:
        before, ends = pixels(scene.image), client.status()["ends"]
        time.sleep(1.0)
        bare = status_bar()
        press_in_gimp("ctrl+f")
        under_way()

        def changed():
            return [x for x, (then, now) in enumerate(zip(bare, status_bar(), strict=True)) if then != now]

        def right_end():
            """Of the bar of progress, where its button is, once it stays."""
            first = changed()
            time.sleep(0.5)
            then = changed()
            return first and then and first[-1] == then[-1] and then[-1]

        end = until(right_end, "a bar of progress")
        screenshot("launched-progress", GIMP)
        xdotool("mousemove", "--window", window(GIMP), str(end - 10), str(STATUS_BAR), "click", "1")
        until(lambda: client.status()["ends"] != ends, "the end of the blend", 5)
        assert client.status()["ends"] == {**ends, "cancelled": ends.get("cancelled", 0) + 1}
    time.sleep(2.0)
    assert scene.names() == BLENDED
    assert pixels(scene.image) == before
