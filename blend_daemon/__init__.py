"""Deep Image Blending: the engine, its service and its command line."""

import sys

COMMAND = (sys.executable, "-m", "blend_daemon.cli")  # how this program is started once more
