"""What both sides speak. Imports only the standard library, pyzmq and ``blend_daemon.errors``, so that the plug-in can carry it."""
