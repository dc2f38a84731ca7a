"""Runs inside GIMP for gimp.py: an image of 24 megapixels, and a user who looks at a clock. Writes WORK/measured.json."""

import hashlib
import json
import os
import subprocess
import sys
import threading
import time
import traceback
from contextlib import suppress
from pathlib import Path

sys.path.insert(0, os.environ["TESTS"])
from gi.repository import Gimp
from inside import WORK, Client, blend, layer_of
from screen import press, window, xdotool

# isort: split
import zmq  # found by what `inside` adds to the path

from blend_protocol import runtime

SIZE = int(os.environ["SIZE"])
FOLDER = Path(WORK)
ANOTHER = f"""
import time
from pathlib import Path
worst, end = 0.0, time.monotonic() + 60
while time.monotonic() < end and not Path({WORK!r}, "enough").exists():
    began = time.monotonic()
    Gimp.get_images()
    worst = max(worst, time.monotonic() - began)
    time.sleep(0.01)
Path({WORK!r}, "worst").write_text(str(worst))
"""
found = {}


def look(dialog):
    """A digest of what the picture in the dialog shows."""
    picture = ["import", "-window", dialog, "-crop", "440x440+40+60", "rgb:-"]
    return hashlib.sha256(subprocess.run(picture, capture_output=True).stdout).digest()


def until_changed(dialog, keys, what):
    before = look(dialog)
    began = time.monotonic()
    xdotool("key", *keys)
    while look(dialog) == before:
        assert time.monotonic() - began < 20, f"nothing changes: {what}"
    found[f"preview follows {what}"] = time.monotonic() - began


def use(began):
    try:
        xdotool("mousemove", "1270", "990")
        dialog = window("^Deep Image Blending")
        found["from the call to the visible dialog"] = time.monotonic() - began
        time.sleep(4.0)
        began = time.monotonic()
        look(dialog)
        found["one screenshot"] = time.monotonic() - began
        press(dialog, "alt+u")
        time.sleep(0.5)
        until_changed(dialog, ["ctrl+a", "9", "0", "Tab"], "the colour slider")
        time.sleep(1.0)
        press(dialog, "alt+w")
        time.sleep(0.5)
        until_changed(dialog, ["ctrl+a", "4", "0", "Tab"], "the mask's growth")
        time.sleep(1.0)
        press(dialog, "Escape")
    except Exception:
        traceback.print_exc()
        xdotool("key", "Escape")


class Relay(threading.Thread):
    """Stands between the plug-in and the daemon, and notes when a job and its first evaluation come by."""

    def __init__(self):
        super().__init__(daemon=True)
        context = zmq.Context.instance()
        self.address = f"ipc://{WORK}/relay"
        self._front, self._back = context.socket(zmq.ROUTER), {}
        self._front.bind(self.address)
        self.submitted = self.evaluated = self.sent = None

    def run(self):
        poller = zmq.Poller()
        poller.register(self._front, zmq.POLLIN)
        while True:
            for socket, _event in poller.poll():
                if socket is self._front:
                    client, *frames = self._front.recv_multipart()
                    if client not in self._back:
                        self._back[client] = zmq.Context.instance().socket(zmq.DEALER)
                        self._back[client].connect(runtime.address())
                        poller.register(self._back[client], zmq.POLLIN)
                    if b'"type":"submit"' in frames[1]:
                        self.submitted, self.sent = time.monotonic(), sum(map(len, frames))
                    self._back[client].send_multipart(frames)
                else:
                    client = next(name for name, back in self._back.items() if back is socket)
                    frames = socket.recv_multipart()
                    if b'"type":"progress"' in frames[1] and self.evaluated is None:
                        self.evaluated = time.monotonic()
                    self._front.send_multipart([client, *frames])

    def forget(self):
        self.submitted = self.evaluated = None


def memory():
    """The plug-in's process: what it holds and what it held at most, in MB."""
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            words = (folder / "cmdline").read_bytes().split(b"\0")
            if any(word.endswith(b"/deep-image-blending.py") for word in words) and b"-query" not in words:
                status = (folder / "status").read_text()
                return [int(status.split(name)[1].split()[0]) / 1024 for name in ("VmRSS:", "VmHWM:")]
    raise AssertionError("there is no such process")


def press_blend(relay, method):
    """A user who waits for the sketch, presses Blend, and gives up at the first evaluation."""
    try:
        dialog = window("^Deep Image Blending")
        time.sleep(5.0)
        before = memory()[1]
        press(dialog, "alt+b")
        began = time.monotonic()
        while relay.evaluated is None:
            assert time.monotonic() - began < 120, "there is no evaluation"
            time.sleep(0.01)
        found[f"{method}: from Blend to the daemon's having the job"] = relay.submitted - began
        found[f"{method}: from Blend to the first evaluation"] = relay.evaluated - began
        found[f"{method}: sent, MB"] = relay.sent / 1e6
        time.sleep(0.5)
        found[f"{method}: memory of the plug-in at most, beyond the waiting dialog, MB"] = memory()[1] - before
        press(dialog, "Escape")
    except Exception:
        traceback.print_exc()
        xdotool("key", "Escape")


try:
    image = Gimp.Image.new(6000, 4000, Gimp.ImageBaseType.RGB)
    layer_of(image, "picture.png", name="picture", alpha=False)
    above = layer_of(image, "object.png", 900, 700)
    image.select_rectangle(Gimp.ChannelOps.REPLACE, 1400, 1100, SIZE, SIZE)
    display = Gimp.Display.new(image)
    time.sleep(2.0)
    with Client() as client:
        while client.status()["device"] == "loading":
            time.sleep(0.1)
    threading.Thread(target=use, args=(time.monotonic(),), daemon=True).start()
    blend(image, above, Gimp.RunMode.INTERACTIVE)
    relay = Relay()
    relay.start()
    for method in ("poisson", "deep"):
        relay.forget()
        threading.Thread(target=press_blend, args=(relay, method), daemon=True).start()
        blend(image, above, Gimp.RunMode.INTERACTIVE, daemon=relay.address, method=method, iterations=0)
    (FOLDER / "meddle.py").write_text(ANOTHER)
    began = time.monotonic()
    result = blend(image, above, preset="draft", iterations=0)
    spent = time.monotonic() - began
    assert result.index(0) == Gimp.PDBStatusType.SUCCESS
    report = json.loads(bytes(image.get_layers()[0].get_parasite("deep-image-blending").get_data()))
    found["the optimisation (draft)"] = sum(report["seconds"].values())
    found["from the call to the layer, beyond the optimisation"] = spent - sum(report["seconds"].values())
    (FOLDER / "enough").touch()
    while not (FOLDER / "meddled").exists():
        time.sleep(0.1)
    found["GIMP's longest silence towards another plug-in"] = float((FOLDER / "worst").read_text())
    (FOLDER / "measured.json").write_text(json.dumps(found))
except Exception:
    traceback.print_exc()
