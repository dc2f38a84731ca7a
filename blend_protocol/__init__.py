"""What the daemon and its clients agree on: messages, addresses, methods, presets, errors.

Imports only the standard library and pyzmq, so that the plug-in can carry it whole.
"""

__version__ = "0.1.0"
