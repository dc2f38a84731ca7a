"""The console script ``blend-daemon``: finds the subcommand and turns errors into an exit code.

Each subcommand is a module of ``blend_daemon.commands`` with ``add_parser(subparsers)``, which sets ``run`` (a function
from the parsed arguments to an exit code) as a default. Modules import what is heavy inside ``run``, so that
``blend-daemon --help`` answers at once.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from blend_daemon import __version__
from blend_daemon.commands import COMMANDS
from blend_daemon.errors import BlendError


def parser() -> argparse.ArgumentParser:
    """The whole command line, one subparser for each command."""
    top = argparse.ArgumentParser(prog="blend-daemon", description="Deep Image Blending: blend an object into a picture.")
    top.add_argument("--version", action="version", version=f"blend-daemon {__version__}")
    subparsers = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add_parser(subparsers)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Returns 0 on success, 2 after an error the user can mend, 130 after Ctrl+C."""
    args = parser().parse_args(_glue_offset(list(sys.argv[1:] if argv is None else argv)))
    try:
        return args.run(args)
    except BlendError as error:
        print(f"blend-daemon: {error}" + (f" {error.hint}" if error.hint else ""), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("blend-daemon: interrupted, nothing was written.", file=sys.stderr)
        return 130


def _glue_offset(argv: list[str]) -> list[str]:
    """argparse takes `-10,20` for an option; `--offset -10,20` must mean what it says."""
    if "--offset" in argv[:-1]:
        at = argv.index("--offset")
        argv[at : at + 2] = [f"--offset={argv[at + 1]}"]
    return argv


if __name__ == "__main__":
    raise SystemExit(main())
