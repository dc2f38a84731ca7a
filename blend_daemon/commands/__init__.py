"""The subcommands of ``blend-daemon``, in the order of ``--help``."""

from types import ModuleType

COMMANDS: tuple[ModuleType, ...] = ()
