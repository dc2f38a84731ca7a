"""`blend-daemon models`: the learned models of the user's own, for the method `model:NAME`."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser("models", help="add, list and remove learned models for the method model:NAME")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    adding = actions.add_parser("add", help="check an ONNX file, try it, and keep a copy of it on this computer")
    adding.add_argument("file", type=Path, metavar="FILE.onnx")
    adding.add_argument("--manifest", type=Path, metavar="FILE.json", help="how to speak to it (default: FILE.json if there is one)")
    adding.add_argument("--name", help="what to call it (default: the file's name)")
    adding.set_defaults(run=_add)
    actions.add_parser("list", help="list them").set_defaults(run=_list)
    removing = actions.add_parser("remove", help="remove the copy")
    removing.add_argument("name", metavar="NAME")
    removing.set_defaults(run=_remove)


def _add(args: argparse.Namespace) -> int:
    from blend_daemon import models
    from blend_daemon.engine.methods import learned
    from blend_daemon.manifest import Manifest

    name = args.name or args.file.stem
    models.check_free(name)
    data = models.read(args.file, models.LARGEST)
    beside = args.file.with_suffix(".json")
    file = args.manifest or (beside if beside.exists() else None)
    text = models.read(file, models.LARGEST_MANIFEST) if file else b"{}\n"
    learned.trial(data, Manifest.parse(text, str(file)), name)
    models.add(name, data, text)
    print(f"Use it with --method model:{name}.")
    return 0


def _list(args: argparse.Namespace) -> int:
    from blend_daemon import models

    for name in models.names():
        manifest = models.manifest(name)
        print(f"model:{name}", *(text for text in (manifest.title, manifest.licence) if text), sep="  ")
    return 0


def _remove(args: argparse.Namespace) -> int:
    from blend_daemon import models

    models.remove(args.name)
    print(f"Removed {args.name}.")
    return 0
