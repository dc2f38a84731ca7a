"""Print the systemd user unit of the daemon.

    python tools/user_unit.py COMMAND

COMMAND is the absolute path of blend-daemon.
"""

from __future__ import annotations

import sys

# What can be taken from a service of a user's without a user namespace of its own, and without what torch needs: it writes machine
# code while it runs (so no MemoryDenyWriteExecute) and reaches GPUs through their device files (so no PrivateDevices).
UNIT = """\
[Unit]
Description=Deep Image Blending

[Service]
Type=notify
ExecStart=/usr/bin/env {command} serve
WatchdogSec=60
Restart=on-failure
RestartSec=5
KillMode=mixed
TimeoutStopSec=15
UMask=0077
NoNewPrivileges=yes
LockPersonality=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM

[Install]
WantedBy=default.target
"""


def unit(command: str) -> str:
    """The unit's text for a command at that path, quoted as systemd.service(5) has it.

    env, because only arguments may have all characters.
    """
    for character, quoted in (("\\", "\\\\"), ('"', '\\"'), ("%", "%%"), ("$", "$$")):
        command = command.replace(character, quoted)
    return UNIT.format(command=f'"{command}"')


if __name__ == "__main__":
    print(unit(sys.argv[1]), end="")
