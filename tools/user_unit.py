"""Print the systemd user unit of the daemon.

    python tools/user_unit.py COMMAND

COMMAND is the absolute path of blend-daemon.
"""

from __future__ import annotations

import sys

# What can be taken from a service of a user's without a user namespace of its own, and without what torch needs: it writes machine
# code while it runs (so no MemoryDenyWriteExecute) and reaches GPUs through their device files (so no PrivateDevices).
#
# Memory: the daemon itself ends a worker above its share of three quarters of the machine's, and closes connections that fill a quarter;
# MemoryMax is for what both miss. No MemoryHigh below it: a worker whose memory cannot be reclaimed would stand there for good. A worker
# that the kernel kills must not take the broker with it, which starts another (OOMPolicy). Tasks: some hundred threads of torch's and of
# ZeroMQ's for each worker.
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
MemoryMax=90%
OOMPolicy=continue
TasksMax=2048
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
