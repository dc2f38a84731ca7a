"""An error as one text for the user, in the user's language.

The daemon, the engine and the protocol speak English. Here is what a translation says for their error codes; where there is none, their own
words stand, which are more exact.
"""

from __future__ import annotations

from collections.abc import Sequence

from blend_protocol.errors import BlendError
from dib.i18n import _

SENTENCES = (  # (code, what a translation says)
    ("mask-off-target", "The object lies wholly outside the target. Move it onto the picture."),
    ("mask-covers-target", "The mask leaves no pixel of the target to blend with. Select less, or choose a larger target."),
    ("target-transparent", "The target is transparent around the object. Blend next to visible pixels, or take “Copy and paste”."),
    ("mask-empty", "The mask marks no visible pixel of the object."),
    ("image-too-large", "The picture is too large for the blend daemon."),
    ("out-of-memory", "There is not enough memory for this blend. Select less, choose a smaller working size, or close other programs."),
    ("parameter-invalid", "One of the settings has a value that the blend daemon does not take."),
    ("device-missing", "The chosen device is not present. Choose “Automatic” under Advanced."),
    ("device-unknown", "There is no such device. Choose “Automatic” under Advanced."),
    ("weights-missing", "The network's weights are missing. Run “blend-daemon weights” in a terminal to fetch them."),
    ("weights-corrupt", "The network's weights are damaged. Run “blend-daemon weights --force” in a terminal to fetch them again."),
    ("weights-unreachable", "The network's weights could not be fetched. Connect, and run “blend-daemon weights” in a terminal."),
    ("model-unknown", "The blend daemon has no model of that name. Choose another, or add it there."),
    ("model-support-missing", "The blend daemon lacks the Python packages that learned models need."),
    ("model-too-slow", "The model took longer than it may, and was ended. Select less."),
    ("model-failed", "The model gave no result."),
    ("model-unfit", "The model cannot be used as its JSON file describes it."),
    ("manifest-invalid", "The model's JSON file is not right."),
    ("model-invalid", "The model's file cannot be used."),
    ("model-unreadable", "The model's file cannot be read."),
    ("queue-full", "Too many blends are waiting already. Wait for one to end, or cancel one."),
    ("worker-died", "The process that computes has ended. Try again, with a smaller selection or the preset Draft."),
    ("worker-hung", "The process that computes gave no sign of life for long, and was ended. Try again."),
    ("memory-limit", "The process that computes used more memory than it may. Select less, or choose a smaller working size."),
    ("daemon-stopped", "The blend daemon was stopped. Try again."),
    ("daemon-gone", "The blend daemon has ended or does not answer any more. Try again; Filters > Combine > Blend Daemon… shows its log."),
    ("daemon-not-started", "The blend daemon could not be started. Run “blend-daemon doctor” in a terminal to see what is wrong."),
    ("daemon-unreachable", "No blend daemon answers at the address under Advanced. Left empty, this computer's own is used."),
    ("address-invalid", "The address under Advanced is no address of a blend daemon."),
    ("daemon-not-paired", "The blend daemon of that name is not paired with this computer. Run “blend-daemon pair” on both."),
    ("not-admitted", "The blend daemon does not know this computer. Pair them: run “blend-daemon pair” in a terminal on both."),
    ("server-key-wrong", "The blend daemon there has another key than the paired one. Pair them anew if you know why."),
    ("protocol-mismatch", "Plug-in and blend daemon differ in version. Stop it (Filters > Combine > Blend Daemon…) and try again."),
    ("message-invalid", "Plug-in and blend daemon do not understand each other. Run install.sh again, and restart GIMP."),
    ("runtime-dir-unsafe", "The blend daemon's folder is not private. Run “blend-daemon doctor” in a terminal to see what to do."),
    ("owner-key", "The key by which the blend daemon knows you cannot be read."),
    ("result-unknown", "The blend is no longer kept."),
    ("mask-faint", "The mask is almost empty: nothing in it is near white. White is the object."),
    ("mask-range", "The mask has values far above white. White is 1 in a picture of floats."),
    ("loss-not-finite", "The blend went beyond what numbers can hold. Choose another preset, or bring the values nearer to 0 to 1."),
    ("daemon-not-running", "No blend daemon runs, and a Flatpak cannot start one. Run “blend-daemon start” in a terminal, and try again."),
    ("worker-loading", "The blend daemon is still loading its network. Ask again in a moment."),
    ("unforeseen", "The computation met an error that should not happen. Please report it with the daemon's log."),
    ("disk-full", "There is not enough room on the disk."),
    ("no-network", "What is to be installed could not be fetched. Connect this computer to the network, and press Install again."),
    ("venv-missing", "Python's own module venv is missing. On Debian and Ubuntu, run “sudo apt install python3-venv” in a terminal."),
    ("python-missing", "Python 3.11 or newer is needed. Install it from your system's packages or from python.org."),
    ("torch-large", "The small build of PyTorch cannot be reached. The large one serves as well, and takes 5.7 GB. Press again for it."),
    ("install-failed", "The installation has failed; the log says where."),
    ("install-running", "It is being installed already. Wait for that to end."),
    ("setup-failed", "The installation could not be run."),
    ("interrupted", "The installation was interrupted. Nothing is left half-done."),
    ("not-installed", "The blend daemon is not installed. Filters > Combine > Blend Daemon… installs it."),
    ("job-cut-off", "The blend was cut off before it had a result. Start it again."),
)  # fmt: skip
PLAIN = {
    "target-transparent",
    "mask-off-target",
    "mask-covers-target",
    "mask-empty",
    "queue-full",
    "daemon-stopped",
    "job-cut-off",
}  # English adds nothing


def sentence(error: BlendError) -> str:
    """The error's message and hint."""
    own = f"{error} {error.hint}".strip()
    text = dict(SENTENCES).get(error.code)
    if text is None or _(text) == text:
        return own
    return _(text) if error.code in PLAIN else f"{_(text)}\n({own})"


def failed(failures: Sequence[tuple[str, BlendError]]) -> str:
    """What could not be blended and why, a line each: (name of the layer, error)."""
    lines = [f"“{name}”: {sentence(error)}" for name, error in failures]
    return "\n".join([_("Not blended:"), *lines]) if lines else ""
