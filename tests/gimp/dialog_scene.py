"""What the actions of dialog.py share: an image on the screen, the dialogs' windows, and a user who blends."""

import json
import os
import sys
import threading
import time
from contextlib import contextmanager

from gi.repository import Gimp
from inside import Client, blend, picture, pixels, rectangle, shot
from screen import launch, press, screenshot, settle, until, widgets, window, windows, xdotool

DIALOG, DAEMON, RECOVER, METHODS = "^Deep Image Blending", "^Blend Daemon", "^Recover Blends", "^Compare Methods"
LOOK = 1.5  # s after which a picture of the running blend is taken
QUICK = 8  # iterations, where what comes of it matters and not how
NAMES = ["object", "picture"]
BLENDED = ["object blended", "object", "picture"]
# What its pictures for people are called.
SHOTS = "-".join(os.environ[name] for name in ("ACTION", "SCHEME", "LANG") if name == "ACTION" or "SCHEME" in os.environ)
ACTIONS = {}


def action(function):
    ACTIONS[function.__name__] = function
    return function


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
    screenshot(f"{SHOTS}-idle", DIALOG)
    press(dialog, key)

    def wait():
        until(lambda: ended() > before, "the end of the blend")
        settle(dialog, 0.5)

    return wait


def under_way():
    """Wait until a job runs."""
    with Client() as client:
        until(lambda: (client.status() or {}).get("running"), "a blend that runs")


@contextmanager
def quiet():
    """Nothing may be printed on stderr meanwhile: test_dialog.py sees to it."""
    print("quiet begins", file=sys.stderr, flush=True)
    yield
    time.sleep(1.0)
    print("quiet ends", file=sys.stderr, flush=True)


def look(name):
    """A picture of the running blend, for people."""
    if "SCREENSHOTS" in os.environ:
        time.sleep(LOOK)
        screenshot(name, DIALOG)


def insert(dialog):
    screenshot(f"{SHOTS}-last", DIALOG)
    press(dialog, "Return")


def begin_and_insert(dialog, key="alt+b"):
    wait = begin(dialog, key)
    look(f"{SHOTS}-running")
    wait()
    insert(dialog)


def keep_and_insert(dialog):
    """Press *Stop and Keep* until there is something to keep, and the dialog ends with it."""
    while windows(DIALOG):
        press(dialog, "alt+k")
        time.sleep(0.7)


def launched_dialog(scene):
    """The filter's dialog, called from GIMP's own menus."""
    scene.image.set_selected_layers([scene.above])
    time.sleep(1.0)
    launch("deep image blending")
    return window(DIALOG)


def wait_for(scene, names):
    until(lambda: scene.names() == names, f"{names}, there is {scene.names()},", 15)
