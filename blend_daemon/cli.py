"""The console script ``blend-daemon``: finds the subcommand and turns errors into an exit code.

Each subcommand is a module of ``blend_daemon.commands`` with ``add_parser(subparsers)``, which sets ``run`` (a function
from the parsed arguments to an exit code) as a default. Modules import what is heavy inside ``run``, so that
``blend-daemon --help`` answers at once.
"""

from __future__ import annotations

import argparse
import io
import re
import sys
from collections.abc import Sequence

from blend_daemon.commands import COMMANDS
from blend_daemon.unforeseen import is_of_memory, unforeseen
from blend_protocol import __version__
from blend_protocol.errors import BlendError


def parser() -> argparse.ArgumentParser:
    """The whole command line, one subparser for each command."""
    top = argparse.ArgumentParser(prog="blend-daemon", description="Deep Image Blending: blend an object into a picture.")
    top.add_argument("--version", action="version", version=f"blend-daemon {__version__}")
    subparsers = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add_parser(subparsers)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Returns 0 on success, 2 after an error the user can mend, 70 after one of ours, 130 after Ctrl+C."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="surrogateescape")  # file names are printed as the bytes they are
    args = parser().parse_args(_glue_pairs(list(sys.argv[1:] if argv is None else argv)))
    try:
        return args.run(args)
    except BlendError as error:
        return _told(f"{error} {error.hint}".rstrip(), 2)
    except KeyboardInterrupt:
        return _told("interrupted, nothing was written.", 130)
    except Exception as error:
        if is_of_memory(error):
            return _told("memory ran out, nothing was written. Close other programs, or give smaller pictures.", 2)
        return _told(unforeseen(error), 70)


def _told(line: str, code: int) -> int:
    print(f"blend-daemon: {line}", file=sys.stderr)
    return code


def _glue_pairs(argv: list[str]) -> list[str]:
    """argparse takes `-10,20` for an option; `--offset -10,20` must mean what it says."""
    glued: list[str] = []
    for word in argv:
        if re.fullmatch(r"-\d+,\s*-?\d+", word) and glued and re.fullmatch(r"--[a-z-]+", glued[-1]):
            glued[-1] += f"={word}"
        else:
            glued.append(word)
    return glued


if __name__ == "__main__":
    raise SystemExit(main())
