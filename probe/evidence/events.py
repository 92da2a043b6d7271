"""What one log line says, as a value. Parsers make these; correlation reads them; neither knows the other.

Rules of this file:
- An event says only what its line says. Joining lines (a connect with its disconnect) is correlation's work.
- `client` is the address the server believes; None where the line has none (`unknown[unknown]`).
- An event is a value: nobody changes one, for the reader hands the same one out again. mypy sees to it, not Python:
  a frozen dataclass costs up to four times as much to make, and the reader makes hundreds of thousands in a second.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeVar, dataclass_transform

from probe.model import FaultSign, Peer, Tally

_T = TypeVar("_T")


@dataclass_transform(frozen_default=True, kw_only_default=True)
def _event(kind: type[_T]) -> type[_T]:
    """A kind of event: frozen for mypy alone."""
    return dataclass(kw_only=True, slots=True, unsafe_hash=True)(kind)


@dataclass_transform(frozen_default=True)
def _part(kind: type[_T]) -> type[_T]:
    """Part of an event, made by position."""
    return dataclass(slots=True, unsafe_hash=True)(kind)


@dataclass(frozen=True, slots=True)
class Stamp:
    """Time in a line's own header or session id: seconds since the epoch on the server's clock.

    The true moment lies in [seconds, seconds + resolution): RFC 3164 headers count whole seconds. One that is not
    `zoned` was written without its zone and read as UTC.
    """

    seconds: float
    resolution: float
    zoned: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """A log line without its header. `program` as logged (`postfix/submission/smtpd`, `imap-login`)."""

    message: str
    program: str
    pid: int | None = None
    stamp: Stamp | None = None


@_event
class Connected:
    """Postfix smtpd or postscreen: a client connected. Only postscreen always knows the port."""

    client: Peer | None


@_event
class Disconnected:
    """Postfix smtpd: a client left, with its commands counted (since Postfix 3.0)."""

    client: Peer | None
    tally: Tally


@_event
class Rejected:
    """Postfix smtpd: a command was refused; HELO name and sender stand in the line."""

    client: Peer | None
    verb: str
    reply: str
    sender: str | None = None
    recipient: str | None = None
    helo: str | None = None


@_event
class Accepted:
    """Postfix smtpd: a queue file was opened for a client's message."""

    client: Peer | None
    queue_id: str
    user: str | None = None


@_part
class SessionId:
    """What a Dovecot session id carries: when it was made, on the server's clock, client port and address.

    `opened` is the accept in 2.4; 2.3 makes the id lazily, at the first LOGIN, AUTHENTICATE or ID, else at the end.

    Base64 without padding of 6 bytes time (low 48 bits of microseconds since the epoch, little-endian), 2 bytes
    port (little-endian), 4 or 16 bytes address: login-common's client_get_session_id().
    """

    text: str
    opened: float
    peer: Peer


@_event
class LoginEnded:
    """Dovecot imap-login: a connection logged in, gave up or was cut. `user` is empty without a login attempt."""

    client: Peer
    logged_in: bool
    user: str
    attempts: int
    tls: bool
    session: SessionId | None = None


@_event
class IdSent:
    """Dovecot imap-login: the client's ID fields (RFC 2971), logged with `imap_id_log`."""

    client: Peer
    fields: dict[str, str]
    session: SessionId | None = None


@_event
class FaultLine:
    """A line that names a fault of the server or of its PROXY header handling."""

    sign: FaultSign
    client: Peer | None = None


Event = Connected | Disconnected | Rejected | Accepted | LoginEnded | IdSent | FaultLine


class Told(Protocol):
    """An event and the line that tells of it. `line` may cost far more than the rest; `program` is the line's."""

    @property
    def event(self) -> Event: ...

    @property
    def program(self) -> str: ...

    @property
    def line(self) -> Line: ...

    @property
    def raw(self) -> str: ...


@_part
class Observed:
    """An event with the line it came from: when it reached the probe, and from which source.

    A line is taken apart only when somebody asks. `stamped`: when it was written by the word of the source, where that
    has one beside the line's own header.
    """

    told: Told
    arrival: float
    source: str
    stamped: Stamp | None = None

    @property
    def event(self) -> Event:
        return self.told.event

    @property
    def program(self) -> str:
        return self.told.program

    @property
    def line(self) -> Line:
        return self.told.line

    @property
    def raw(self) -> str:
        return self.told.raw
