"""A user's hands and eyes for the scripts that run inside a GIMP with a screen: xdotool and screenshots."""

import os
import subprocess
import time

WORK = os.environ["WORK"]
GIMP = "GNU Image Manipulation Program|GIMP"  # the title of its main window

STATUS_BAR = 582  # px from the top of its main window as it first opens to the text of the status bar


def xdotool(*words):
    return subprocess.run(["xdotool", *words], capture_output=True, text=True).stdout.split()


def until(truth, what, patience=60):
    """Wait until `truth()` is something, and return it."""
    end = time.time() + patience
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
