"""The subcommands of ``blend-daemon``, in the order of ``--help``."""

from types import ModuleType

from blend_daemon.commands import batch, blend, bridge, compare, doctor, keys, models, pair, serve, start, status, stop, weights

COMMANDS: tuple[ModuleType, ...] = (blend, batch, compare, models, serve, start, status, stop, pair, keys, doctor, weights, bridge)
