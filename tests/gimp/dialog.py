"""Runs inside a GIMP with a (virtual) screen: opens the dialogs and has xdotool use them as a person would.

The environment's ACTION names one of the functions below. Writes "ok" or a traceback to WORK/dialog.txt, and screenshots beside it.
"""

import json
import os
import socket
import sys
import threading
import time
import traceback
from contextlib import ExitStack, contextmanager

sys.path.insert(0, os.environ["TESTS"])
from gi.repository import Gimp
from inside import NAME, WORK, Client, blend, check, layer_of, lost, picture, pixels, rectangle, shot
from screen import (
    GIMP,
    STATUS_BAR,
    click,
    enter,
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

from blend_protocol import keys, runtime

DIALOG, DAEMON, RECOVER, METHODS = "^Deep Image Blending", "^Blend Daemon", "^Recover Blends", "^Compare Methods"
LOOK = 1.5  # s after which a picture of the running blend is taken
QUICK = 8  # iterations, where what comes of it matters and not how
NAMES = ["object", "picture"]
BLENDED = ["object blended", "object", "picture"]


class Scene:
    """An image on the screen with a selected object, and what it looks like."""

    def __init__(self):
        self.image, self.above, _below = picture()
        self.image.select_rectangle(Gimp.ChannelOps.REPLACE, 60, 40, 60, 60)
        self.mask = rectangle(self.image, 60, 40, 60, 60)
        self.before = shot(self.image, self.above)
        self.whole = pixels(self.image)
        self.image.undo_disable()
        self.image.undo_enable()
        self.image.clean_all()
        self.display = Gimp.Display.new(self.image)

    def names(self):
        return [layer.get_name() for layer in self.image.get_layers()]

    def untouched(self):
        assert self.names() == NAMES
        assert pixels(self.image) == self.whole
        assert not self.image.is_dirty()

    def report(self):
        return json.loads(bytes(self.image.get_layers()[0].get_parasite("deep-image-blending").get_data()))


def used(user, call, title=DIALOG):
    """The outcome of `call`, which opens a window, while `user(window)` uses that."""
    trouble = []

    def use():
        try:
            xdotool("mousemove", "1270", "990")  # where it raises no tooltip
            user(window(title))
        except BaseException as error:
            error.add_note(str([found["text"] for found in widgets() if found["name"] in ("state", "notice", "main")]))
            trouble.append(error)
            screenshot("failed", title)
        # Whatever went wrong, the window must not stay and hold the test up.
        while trouble and (there := windows(title)):
            press(there[-1], "Escape")
            time.sleep(1.0)

    thread = threading.Thread(target=use, daemon=True)
    thread.start()
    result = call()
    thread.join(30)
    if trouble:
        raise trouble[0]
    return result


def blended(scene, user, **arguments):
    """The outcome of the filter's dialog, used by `user`."""
    return used(user, lambda: blend(scene.image, scene.above, Gimp.RunMode.INTERACTIVE, **arguments))


def ended():
    """How many jobs the daemon has ended."""
    with Client() as client:
        return (client.status() or {"ended": 0})["ended"]


def begin(dialog, key="alt+b"):
    """Start a blend. Returns what waits for its end."""
    settle(dialog, 0.3)  # with the sketch
    before = ended()
    screenshot(f"{ACTION}-idle", DIALOG)
    press(dialog, key)

    def wait():
        until(lambda: ended() > before, "the end of the blend")
        settle(dialog, 0.5)

    return wait


def under_way():
    """Wait until a job runs."""
    with Client() as client:
        until(lambda: (client.status() or {}).get("running"), "a blend that runs")


def look(name):
    """A picture of the running blend, for people."""
    if "SCREENSHOTS" in os.environ:
        time.sleep(LOOK)
        screenshot(name, DIALOG)


def insert(dialog):
    screenshot(f"{ACTION}-last", DIALOG)
    press(dialog, "Return")


def begin_and_insert(dialog, key="alt+b"):
    wait = begin(dialog, key)
    look(f"{ACTION}-running")
    wait()
    insert(dialog)


def launched_dialog(scene):
    """The filter's dialog, called from GIMP's own menus."""
    scene.image.set_selected_layers([scene.above])
    time.sleep(1.0)
    launch("deep image blending")
    return window(DIALOG)


def wait_for(scene, names):
    until(lambda: scene.names() == names, f"{names}, there is {scene.names()},", 15)


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


def again():
    def user(dialog):
        begin(dialog)()
        begin(dialog, "alt+g")()
        insert(dialog)

    scene = Scene()
    check(scene.image, scene.above, scene.before, scene.mask, blended(scene, user, iterations=QUICK))
    press_in_gimp("ctrl+z")
    wait_for(scene, NAMES)


def reblend():
    scene = Scene()
    assert blended(scene, begin_and_insert, iterations=QUICK, grow=6).index(0) == Gimp.PDBStatusType.SUCCESS
    first = scene.image.get_layers()[0]
    old, width = first.get_tattoo(), first.get_width()
    assert width == 72
    Gimp.Selection.none(scene.image)
    # The preset of the call is overridden by the layer's own, and the layer's alpha, now the mask, has been grown already.
    result = used(begin_and_insert, lambda: blend(scene.image, first, Gimp.RunMode.INTERACTIVE, preset="paper", grow=6))
    assert result.index(0) == Gimp.PDBStatusType.SUCCESS
    assert scene.names() == BLENDED
    assert scene.image.get_layers()[0].get_tattoo() != old
    assert scene.image.get_layers()[0].get_width() == width
    assert not scene.above.get_visible()
    press_in_gimp("ctrl+z")
    until(lambda: scene.image.get_layers()[0].get_tattoo() == old, "the former layer", 15)


def steer():
    def user(dialog):
        wait = begin(dialog)
        under_way()
        press(dialog, "alt+u", "ctrl+a", "3", "Tab")
        look("steer-running")
        wait()
        insert(dialog)

    scene = Scene()
    check(scene.image, scene.above, scene.before, scene.mask, blended(scene, user, preset="painting", iterations=0))
    assert (scene.report()["preset"], scene.report()["colour"]) == ("painting", 3)


def keep():
    def user(dialog):
        begin(dialog)
        under_way()
        look("keep-running")
        while windows(DIALOG):
            press(dialog, "alt+k")
            time.sleep(0.7)

    scene = Scene()
    check(scene.image, scene.above, scene.before, scene.mask, blended(scene, user, preset="paper", iterations=0))
    assert scene.report()["evaluations"] < 1000


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


def recover():
    def user(dialog):
        click("blends")
        settle(dialog, 0.3)
        screenshot("recover-list", RECOVER)
        press(dialog, "Return")

    scene = Scene()
    for entry in lost():
        with Client() as client:
            client.release(entry["job"])
    lost("lost")
    procedure = Gimp.get_pdb().lookup_procedure(NAME + "-recover")
    config = procedure.create_config()
    config.set_property("run-mode", Gimp.RunMode.INTERACTIVE)
    config.set_property("image", scene.image)
    assert used(user, lambda: procedure.run(config), RECOVER).index(0) == Gimp.PDBStatusType.SUCCESS
    assert scene.names() == ["lost blended", *NAMES]
    assert lost() == []
    press_in_gimp("ctrl+z")
    wait_for(scene, NAMES)


def recover_far():
    """A blend that a paired daemon keeps, in the list beside this computer's own."""

    def user(dialog):
        wait_text("state", "kept for a week")
        settle(dialog)
        screenshot("recover-far", RECOVER)
        press(dialog, "Return")

    scene = Scene()
    lost("near")
    keys.add_daemon("studio", os.environ["ADDRESS"], os.environ["KEY"])
    procedure = Gimp.get_pdb().lookup_procedure(NAME + "-recover")
    config = procedure.create_config()
    config.set_property("run-mode", Gimp.RunMode.INTERACTIVE)
    config.set_property("image", scene.image)
    assert used(user, lambda: procedure.run(config), RECOVER).index(0) == Gimp.PDBStatusType.SUCCESS
    assert scene.names() == ["far blended", *NAMES]  # the scripted daemon's is the newest
    keys.remove("studio")


def stranger():
    """A layer that came with a file, whose parasite names a daemon."""

    def user(dialog):
        wait_text("state", "Ready")
        settle(dialog, 0.5)
        press(dialog, "alt+v")
        assert widget("daemon", "Entry")["text"] == ""
        assert widget("style", "SpinButton")["text"] == "20"
        press(dialog, "Escape")

    scene = Scene()
    address = os.path.join(WORK, "stranger")
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(address)
        door.listen()
        door.settimeout(0.1)
        arguments = {"daemon": f"ipc://{address}", "style": 20, "iterations": -7, "seed": True, "method": ["deep"], "output": "replace"}
        about = json.dumps({"gimp": {"source": scene.above.get_tattoo(), "arguments": arguments}})
        layer = layer_of(scene.image, "object.png", 30, 20, "from a file")
        layer.attach_parasite(Gimp.Parasite.new("deep-image-blending", Gimp.PARASITE_PERSISTENT, about.encode()))
        result = used(user, lambda: blend(scene.image, layer, Gimp.RunMode.INTERACTIVE))
        assert result.index(0) == Gimp.PDBStatusType.CANCEL
        try:
            door.accept()
        except TimeoutError:
            return
    raise AssertionError("the stranger's address was called")


def unforeseen():
    def user(dialog):
        wait_text("state", "Ready")
        press(dialog, "alt+b")
        wait_text("state", "Done")
        press(dialog, "Return")
        wait_text("notice", "KeyError")
        assert widget("main")["text"] == "_Blend"
        assert widget("main")["sensitive"]
        screenshot("unforeseen", DIALOG)
        press(dialog, "Escape")

    scene = Scene()
    assert blended(scene, user, daemon=os.environ["ADDRESS"]).index(0) == Gimp.PDBStatusType.CANCEL
    scene.untouched()


def order(code):
    """Have the extension of meddler.py do something to the image, as its user could while the dialog is open."""
    path = os.path.join(WORK, "meddle.py")
    with open(path + ".part", "w") as file:
        # The oldest image: the others are the plug-in's duplicates.
        file.write(f"image = min(Gimp.get_images(), key=lambda image: image.get_id()); {code}; Gimp.displays_flush()")
    os.rename(path + ".part", path)
    done = os.path.join(WORK, "meddled")
    until(lambda: os.path.exists(done), "what was ordered")
    with open(done) as file:
        text = file.read()
    os.remove(done)
    assert text == "ok", text


def follow():
    def user(dialog):
        wait_text("notice", "Nothing is selected")
        main = widget("main")
        assert not main["sensitive"]
        assert "Nothing is selected" in main["tooltip"]
        assert not widget("compare")["sensitive"]
        screenshot("follow-hindered", DIALOG)
        order("image.select_rectangle(Gimp.ChannelOps.REPLACE, 60, 40, 60, 60)")
        wait_text("state", "Ready to blend “object”")
        order("image.set_selected_layers([image.get_layer_by_name('picture')])")
        wait_text("notice", "select the object's layer")
        screenshot("follow-background", DIALOG)
        order("image.set_selected_layers([image.get_layer_by_name('object')])")
        wait_text("state", "Ready to blend “object”")
        begin(dialog)()
        order("image.select_rectangle(Gimp.ChannelOps.REPLACE, 70, 50, 60, 60)")
        wait_text("state", "The image has changed")
        begin(dialog, "alt+g")()
        insert(dialog)

    scene = Scene()
    Gimp.Selection.none(scene.image)
    assert blended(scene, user, method="poisson").index(0) == Gimp.PDBStatusType.SUCCESS
    assert scene.image.get_layers()[0].get_offsets()[1:] == (70, 50)


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


PANELS = 64  # px of a screen's height that a desktop's own panel and the title bar of a window take


def small():
    """The largest form of the dialog on a screen of 1366x768."""
    global ACTION
    ACTION = f"small-{os.environ['LANG'][:2]}"

    def room(dialog):
        settle(dialog, 0.5)
        x, y, width, height = next(found["rect"] for found in widgets() if found["kind"] == "ProcedureDialog")
        left, top, wide, high = widget("main")["rect"]
        assert width <= 1366, width
        assert height <= 768 - PANELS, height
        assert x <= left < left + wide <= x + width
        assert y <= top < top + high <= y + height
        return width, height

    def user(dialog):
        folded = room(dialog)
        press(dialog, "alt+" + widget("advanced")["text"].partition("_")[2][0].lower())
        assert room(dialog) == folded
        screenshot(f"{ACTION}-unfolded", DIALOG)
        press(dialog, "Return")
        until(lambda: widget("again"), "the end of the blend")
        screenshot(f"{ACTION}-done", DIALOG)
        assert room(dialog)[1] == folded[1]
        buttons = {found["rect"][1] for found in widgets() if found.get("seen") and found["name"] in ("main", "again", "settings")}
        assert len(buttons) == 1, "one row of buttons"
        press(dialog, "Escape")

    scene = Scene()
    result = blended(scene, user, target="chosen-layer", target_layer=scene.image.get_layers()[1])
    assert result.index(0) == Gimp.PDBStatusType.CANCEL


def one_layer():
    def user(dialog):
        wait_text("notice", "one layer alone")
        assert not widget("main")["sensitive"]
        screenshot("one-layer", DIALOG)
        press(dialog, "Escape")

    scene = Scene()
    scene.image.remove_layer(scene.image.get_layers()[1])
    assert blended(scene, user).index(0) == Gimp.PDBStatusType.CANCEL


def layers():
    def chosen():
        return widget("target-layer", "ComboBoxText")["text"]

    def user(dialog):
        wait_text("state", "Ready")
        assert chosen() == "stroke"
        xdotool("windowfocus", "--sync", dialog)
        click("target-layer", "ComboBoxText", stay=True)
        time.sleep(0.5)
        xdotool("key", "Down", "Return")
        until(lambda: chosen() == "picture", "another layer in the list")
        click(text="Reset", stay=True)
        time.sleep(0.5)
        click(text="Reset to _Initial Values")
        until(lambda: chosen() == "stroke", "the layer that it began with")
        press(dialog, "Escape")

    scene = Scene()
    stroke = layer_of(scene.image, "object.png", 0, 0, "stroke", position=1)
    result = blended(scene, user, target="chosen-layer", target_layer=stroke)
    assert result.index(0) == Gimp.PDBStatusType.CANCEL


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
    while windows(DIALOG):
        press(dialog, "alt+k")
        time.sleep(0.7)
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


def help_page():
    def user(dialog):
        press(dialog, "alt+h")
        until(lambda: os.path.exists(os.path.join(WORK, "opened")), "a browser", 20)
        press(dialog, "Escape")

    scene = Scene()
    assert blended(scene, user).index(0) == Gimp.PDBStatusType.CANCEL
    scene.untouched()


def looks():
    """As people with another theme and language see the windows."""
    global ACTION
    ACTION = f"looks-{os.environ['SCHEME']}-{os.environ['LANG']}"

    def user(dialog):
        begin_and_insert(dialog, "Return")  # the mnemonics are another language's

    scene = Scene()
    result = blended(scene, user, preset="draft", iterations=0)
    assert result.index(0) == Gimp.PDBStatusType.SUCCESS, Gimp.get_pdb().get_last_error()


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


def daemon():
    def user(dialog):
        settle(dialog, 0.3)
        screenshot("daemon-idle", DAEMON)
        press(dialog, "alt+t")
        settle(dialog)
        screenshot("daemon-tested", DAEMON)
        assert not any(found["name"] == "log" and found.get("seen") for found in widgets())
        click("show-log")
        widget("log")
        screenshot("daemon-log", DAEMON)
        press(dialog, "alt+i")
        question = window("^Pair with")
        xdotool("windowfocus", "--sync", question, "type", "blend-daemon pair studio tcp://studio:47811 " + 64 * "a")
        screenshot("daemon-pairing", "^Pair with")
        press(question, "Return")
        until(lambda: keys.daemons() and not windows("^Pair with"), "a paired daemon", 20)
        screenshot("daemon-paired", DAEMON)
        press(dialog, "alt+l")

    Scene()
    procedure = Gimp.get_pdb().lookup_procedure(NAME + "-daemon")
    config = procedure.create_config()
    config.set_property("run-mode", Gimp.RunMode.INTERACTIVE)
    assert used(user, lambda: procedure.run(config), DAEMON).index(0) == Gimp.PDBStatusType.SUCCESS
    assert [(found.name, found.address) for found in keys.daemons()] == [("studio", "tcp://studio:47811")]
    keys.remove("studio")


ACTION = os.environ["ACTION"]
try:
    globals()[ACTION]()
    outcome = "ok"
except Exception:
    outcome = traceback.format_exc()
with open(os.path.join(WORK, "dialog.txt"), "w") as file:
    file.write(outcome)
