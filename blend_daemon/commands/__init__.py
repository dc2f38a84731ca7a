"""The subcommands of ``blend-daemon``, in the order of ``--help``."""

from types import ModuleType

from blend_daemon.commands import weights

COMMANDS: tuple[ModuleType, ...] = (weights,)
