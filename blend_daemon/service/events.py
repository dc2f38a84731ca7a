"""What happens to the broker, and what it wants done: the two vocabularies of `Broker.step`. Plain values; nothing here does anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from blend_daemon.service.jobs import Job
from blend_protocol.errors import BlendError
from blend_protocol.framing import Message


class Connection(NamedTuple):
    """A client's connection.

    Attributes
    ----------
    remote : whether it is one of another computer, on TCP
    identity : its name in its socket
    key : the CURVE key of who is there, "" on this computer
    descriptor : of the operating system
    """

    remote: bool
    identity: bytes
    key: str = ""
    descriptor: int = -1


@dataclass(frozen=True)
class Entry:
    """What lies there for a job: its result, or if `box` is None the note that it was begun.

    Attributes
    ----------
    job, owner, label : as in `jobs.Job`
    ended : Unix time at which the result was there, or the job was begun, s
    box : (x, y, width, height) of the result's layer
    bytes : size of the file
    expires : moment of the monotonic clock after which it may go. A clock that is set ahead while the daemon runs makes nothing old.
    """

    job: str
    owner: str
    label: Mapping[str, str]
    ended: float
    box: Sequence[int] | None
    bytes: int
    expires: float


# What happens


@dataclass(frozen=True)
class Heard:
    """A client said something. An `owner` in it is bound to the client's key already."""

    client: Connection
    message: Message


@dataclass(frozen=True)
class Refused:
    """A client said something that is no message."""

    client: Connection
    error: BlendError


@dataclass(frozen=True)
class Told:
    """The outcome of a `Tell` about a job; follows at once. `grace` is for how many s the connection may be away."""

    job: Job
    client: Connection
    message: Message
    reached: bool
    grace: float = 0.0


@dataclass(frozen=True)
class Said:
    """A worker said something."""

    worker: int
    message: Message


@dataclass(frozen=True)
class Garbled:
    """A worker said something that is no message."""

    worker: int
    error: BlendError


@dataclass(frozen=True)
class Gone:
    """A worker's process has ended, with this exit code (negative: a signal); None: it could not be started or is out of reach, and why."""

    worker: int
    code: int | None
    why: str = ""


@dataclass(frozen=True)
class Written:
    """The outcome of a `Write`: the result's entry, or if that is None why it could not be written."""

    job: Job
    result: Message
    entry: Entry | None
    why: str = ""


@dataclass(frozen=True)
class Read:
    """The outcome of a `Fetch`: the result, or why it cannot be read; `missing` if its file is not there any more."""

    fetch: Fetch
    outcome: Message | BlendError
    missing: bool = False


@dataclass(frozen=True)
class Tick:
    """`broker.TICK` s have passed. The memory of the workers' processes, bytes."""

    memory: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Stop:
    """Somebody who may has asked the daemon to end."""


Event = Heard | Refused | Told | Said | Garbled | Gone | Written | Read | Tick | Stop


# What is wanted


@dataclass(frozen=True)
class Tell:
    """Send a client a message, without waiting. If it is about a job, `Told` answers."""

    client: Connection
    message: Message
    job: Job | None = None


@dataclass(frozen=True)
class Spawn:
    """Start a worker's process; it has none. `Gone` tells of its end."""

    worker: int


@dataclass(frozen=True)
class End:
    """Kill a worker's process."""

    worker: int


@dataclass(frozen=True)
class Order:
    """Send a worker a message. One that has just died takes none."""

    worker: int
    message: Message


@dataclass(frozen=True)
class Note:
    """Note on disk that a job is accepted, before anything else is done."""

    job: Job


@dataclass(frozen=True)
class Write:
    """Write a job's result to disk in the place of its note, and meanwhile go on. `Written` answers."""

    job: Job
    result: Message


@dataclass(frozen=True)
class Fetch:
    """Read a result from disk for a client, and meanwhile go on. `Read` answers."""

    client: Connection
    entry: Entry


@dataclass(frozen=True)
class Remove:
    """Remove from the disk what lies there for a job, its note and its result."""

    owner: str
    job: str


@dataclass(frozen=True)
class RemoveNote:
    """Remove from the disk the note of a job that has ended."""

    owner: str
    job: str


@dataclass(frozen=True)
class Report:
    """Tell a client the daemon's status."""

    client: Connection


@dataclass(frozen=True)
class ListModels:
    """Tell a client which models the user has added."""

    client: Connection


@dataclass(frozen=True)
class Notify:
    """Say a word to the service manager."""

    word: str


@dataclass(frozen=True)
class Exit:
    """Nothing is left to do: the daemon ends."""


Effect = Tell | Spawn | End | Order | Note | Write | Fetch | Remove | RemoveNote | Report | ListModels | Notify | Exit
