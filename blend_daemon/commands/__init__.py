"""The subcommands of ``blend-daemon``, in the order of ``--help``."""

from types import ModuleType

from blend_daemon.commands import blend, weights

COMMANDS: tuple[ModuleType, ...] = (blend, weights)
