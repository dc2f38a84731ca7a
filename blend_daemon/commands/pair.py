"""`blend-daemon pair`: let a client in here, or pin a daemon elsewhere; each side then knows the other by its key."""

from __future__ import annotations

import argparse
import socket

PORT = 47811  # what is proposed; any other does as well


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser(
        "pair",
        help="let another computer use this one's daemon, or this one use another's",
        description="Without arguments, on the computer with the daemon: print the command to run on the other computer. "
        "That one prints the command to run here.",
    )
    parser.add_argument(
        "daemon", nargs="*", metavar="NAME ADDRESS KEY", help="a daemon elsewhere: a name for it, its address, its public key"
    )
    one = parser.add_mutually_exclusive_group()
    one.add_argument("--add", nargs=2, metavar=("NAME", "KEY"), help="let in the client with this public key")
    one.add_argument("--remove", metavar="NAME", help="forget a client or a daemon; a client is out at once")
    one.add_argument("--list", action="store_true", help="list both")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from blend_protocol import keys
    from blend_protocol.errors import BlendError

    if args.daemon and (len(args.daemon) != 3 or args.add or args.remove or args.list):
        raise BlendError("pair-invalid", "A daemon is named by NAME, ADDRESS and KEY.", "`blend-daemon pair` on its computer prints them.")
    if args.daemon:
        keys.add_daemon(*args.daemon)
        print(f"Paired with {args.daemon[0]}. On its computer run:")
        print(f"  blend-daemon pair --add {_host()} {keys.own('client').public.hex()}")
    elif args.add:
        keys.add_client(*args.add)
        print(f"{args.add[0]} may use this computer's daemon.")
    elif args.remove:
        print(f"Removed {args.remove} ({', '.join(keys.remove(args.remove))}).")
    elif args.list:
        for key, name in keys.clients().items():
            print(f"client {name} {key}")
        for found in keys.daemons():
            print(f"daemon {found.name} {found.address} {found.key.hex()}")
    else:
        print("On the other computer run:")
        print(f"  blend-daemon pair {_host()} {_address()} {keys.own('server').public.hex()}")
    return 0


def _host() -> str:
    from blend_protocol import keys

    name = socket.gethostname().partition(".")[0]
    return name if keys.NAME.fullmatch(name) else "NAME"


def _address() -> str:
    """Where the daemon listens; if it does not, what to tell the user."""
    from blend_protocol import runtime
    from blend_protocol.client import Client

    listen = None
    if runtime.socket_path().exists():
        with Client() as client:
            listen = (client.status() or {}).get("listen")
    if not listen:
        print(f"The daemon here does not listen yet: start it with `blend-daemon serve --listen tcp://*:{PORT}`.")
        listen = f"tcp://*:{PORT}"
    return listen.replace("tcp://0.0.0.0:", "tcp://*:").replace("tcp://[::]:", "tcp://*:").replace("*", socket.gethostname())
