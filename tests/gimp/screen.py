"""A user's hands and eyes for the scripts that run inside a GIMP with a screen: xdotool and screenshots."""

import json
import os
import socket
import subprocess
import time

WORK = os.environ["WORK"]
GIMP = "GNU Image Manipulation Program|GIMP"  # the title of its main window

STATUS_BAR = 582  # px from the top of its main window as it first opens to the text of the status bar


def xdotool(*words):
    return subprocess.run(["xdotool", *words], capture_output=True, text=True).stdout.split()


def until(truth, what, patience=60):
    """Wait until `truth()` is something, and return it. Where much else runs, nothing is sure to come in less than a minute."""
    end = time.time() + max(patience, 60)
    while time.time() < end:
        found = truth()
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError(f"{what} did not come about")


def windows(title):
    """The windows with such a title that are seen now."""

    def search():
        done = subprocess.run(["xdotool", "search", "--onlyvisible", "--name", title], capture_output=True, text=True)
        # One that meets a window which is just going dies of it and finds nothing.
        return None if "X Error" in done.stderr else (done.stdout.split(),)

    return until(search, "a search for windows", 10)[0]


def window(title, patience=30):
    return until(lambda: windows(title), f"a window {title}", patience)[-1]


def press(window, *keys):
    # In one call: if the window has gone, xdotool ends before a key can reach another one.
    xdotool("windowfocus", "--sync", window, "key", *keys)


def press_in_gimp(*keys):
    press(window(GIMP), *keys)


def launch(command):
    """Find a command with GIMP's own search and start it, as a user would from the menu."""
    press_in_gimp("slash")
    xdotool("windowfocus", "--sync", window("Search Actions"), "type", "--delay", "30", command)
    time.sleep(1.0)
    xdotool("key", "Return")


def screenshot(name, title):
    """A picture for people, if they asked for some or something failed."""
    if "SCREENSHOTS" not in os.environ and name != "failed":
        return
    for found in windows(title):
        xdotool("windowraise", found)  # no window manager does it
    time.sleep(0.3)
    subprocess.run(["import", "-window", "root", os.path.join(WORK, f"dialog-{name}.png")])


def status_bar():
    """The grey levels of the row of GIMP's main window that goes through its status bar's text."""
    row = ["-crop", f"0x1+0+{STATUS_BAR}", "-depth", "8", "gray:-"]
    return subprocess.run(["import", "-window", window(GIMP), *row], capture_output=True).stdout


def settle(window, pause=1.5):
    """Wait until a window's picture has not changed for `pause` s."""
    last, end = None, time.time() + 60
    while time.time() < end:
        now = subprocess.run(["import", "-window", window, "rgb:-"], capture_output=True).stdout
        if now and now == last:
            return
        last = now
        time.sleep(pause)
    raise AssertionError("the window does not come to rest")


def widgets():
    """Every widget of the plug-in's windows, as its process tells: see probe/sitecustomize.py."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(20)
        probe.connect(os.path.join(WORK, "probe"))
        data = b""
        while piece := probe.recv(1 << 20):
            data += piece
    return json.loads(data)


def widget(name="", kind=None, text=None, patience=20):
    """The widget that is seen and has this name and text; with `kind`, the one of that kind within the one of that name."""

    def fits(found):
        named = found["name"] == name if kind is None else found["kind"] == kind and name in found["within"]
        return found.get("seen") and (named or not name) and text in (None, found["text"])

    return until(lambda: next(filter(fits, widgets()), None), f"a widget {name} {kind or ''} {text or ''}", patience)


def click(name="", kind=None, text=None, stay=False):
    """Click on a widget, once it can be clicked. `stay`: with the pointer, for a list that has popped up."""

    def still():
        there = widget(name, kind, text)
        time.sleep(0.2)  # one that has just come into sight may yet be moved
        return there["sensitive"] and there["rect"] == widget(name, kind, text)["rect"] and there

    x, y, width, height = until(still, f"{name or text} that can be clicked")["rect"]
    xdotool("mousemove", str(x + width // 2), str(y + height // 2), "click", "1")
    if not stay:
        xdotool("mousemove", "1270", "990")  # where it raises no tooltip


def enter(name, text, kind="SpinButton"):
    """Type into the entry of a widget, and leave it."""
    click(name, kind)
    xdotool("key", "ctrl+a")
    xdotool("type", text)
    xdotool("key", "Tab")


def wait_text(name, words, patience=60):
    """Wait until the label of that name is seen with these words."""
    texts = lambda: [found["text"] or "" for found in widgets() if found.get("seen") and found["name"] == name]
    try:
        until(lambda: any(words in text for text in texts()), f"“{words}” in {name}", patience)
    except AssertionError as error:
        raise AssertionError(f"{error}: {texts()}") from None
