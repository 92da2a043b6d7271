"""What the client saw: one connection from resolve to close, its phases, its fault, what it left behind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from probe.model.address import Address, Network, Peer
from probe.model.endpoint import EndpointName
from probe.model.words import ControlKind, Failure, ImprintKind, Phase, ProxyHeader, Service

Clock = Callable[[], float]
"""Seconds since the epoch on the probe's own clock; it never jumps within a process."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PhaseTiming:
    """A phase that ran and how long it took, whether it succeeded or not."""

    phase: Phase
    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """Where and how a session ended early. `reply` is the server's last answer, verbatim, if it gave one."""

    phase: Phase
    failure: Failure
    detail: str
    reply: str | None = None


@dataclass(frozen=True, slots=True)
class Count:
    """One verb in Postfix's `disconnect` line: `rset=2` is (2, 2), `rcpt=0/1` is (0, 1)."""

    accepted: int
    total: int


Tally = Mapping[str, Count]
"""Commands of a session by lower-case verb, as Postfix's smtpd counts them in its `disconnect` line."""

NO_TALLY: Tally = MappingProxyType({})


@dataclass(frozen=True, kw_only=True, slots=True)
class Imprint:
    """What a session really left behind (not what was planned): the correlation looks for exactly this.

    `odds` is the probability that one look-alike session leaves the same by chance.
    """

    kind: ImprintKind
    tally: Tally = field(default_factory=lambda: NO_TALLY)
    token: str | None = None
    user: str | None = None
    odds: float = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery:
    """What became of the message of a `deliver` imprint, from the moment its content was on its way.

    `begun` is the time of MAIL FROM, `helo` the name we said; `accepted` and `queue_id` are the server's word.
    `found` is when the message was seen in the mailbox, `header` its header as read there; `trouble` why it was not.
    """

    begun: float
    helo: str
    accepted: bool = False
    queue_id: str | None = None
    found: float | None = None
    header: str = ""
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Spoken:
    """One line of the transcript: seconds since the session opened, who spoke, what (secrets already masked).

    `whole`: the line came with its end and is not cut. Half an address is another address, so only such lines tell one.
    """

    seconds: float
    ours: bool
    text: str
    whole: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Control:
    """A second connection after a failed one. `worked`: greeting (and handshake, where TLS is first) arrived.

    `LOCAL_HEADER` sends a PROXY header that claims no address; `NO_HEADER` leaves out the header the path sends;
    `SILENT` sends nothing. `seconds` is the time from connect to the end of it, `fault` why it did not work.
    """

    kind: ControlKind
    worked: bool
    seconds: float
    fault: Fault | None = None


@dataclass(frozen=True, slots=True)
class Span:
    """Something happened on the server between these two moments of the probe's clock."""

    start: float
    end: float

    @property
    def seconds(self) -> float:
        """How long that is."""
        return self.end - self.start


class IdMoment(StrEnum):
    """When a Dovecot gives a connection its session id: 2.4 as it accepts it, 2.3 as it first needs the id."""

    ACCEPTED = "accepted"
    NEEDED = "needed"


IdMoments = Mapping[IdMoment, Span]
"""When a connection must have got its session id, on each of the two assumptions.

ACCEPTED lies between connect and greeting; NEEDED between the first LOGIN, ID or LOGOUT and its answer.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Beat:
    """One extra connection of a rhythm."""

    id_moments: IdMoments
    client: Peer | None = None


BROKEN = (Failure.CLOSED, Failure.RESET)
BEFORE_GREETING = (Phase.PROXY_HEADER, Phase.TLS, Phase.FIRST_BYTE, Phase.GREETING)


@dataclass(frozen=True, kw_only=True, slots=True)
class Session:
    """One connection from resolve to close, as the client saw it. A session always ends in a value.

    `server_spoke`: whether a single octet came from the other side, be it of a TLS handshake that failed.
    """

    id: str
    path: str
    service: Service
    host: str
    address: Address | None
    port: int
    client: Peer | None
    expected: tuple[Network, ...]
    opened: float
    connected: float | None
    closed: float
    phases: tuple[PhaseTiming, ...]
    fault: Fault | None
    imprint: Imprint
    server_spoke: bool = True
    transcript: tuple[Spoken, ...] = ()
    certificate_expiry: float | None = None
    header_sent: ProxyHeader = ProxyHeader.NONE
    server_name: str | None = None
    controls: tuple[Control, ...] = ()
    id_moments: IdMoments = field(default_factory=dict)
    beats: tuple[Beat, ...] = ()
    delivery: Delivery | None = None

    @property
    def endpoint(self) -> EndpointName:
        """Which endpoint it was opened to."""
        return EndpointName(self.path, self.service, self.port)

    @property
    def seconds(self) -> float:
        """Duration of the whole session."""
        return self.closed - self.opened

    @property
    def connections(self) -> int:
        """Connections that the server counts: the session and the control connections after it.

        Beats of a rhythm are left out: only Dovecot gets them, which limits no connections that never log in.
        """
        return 1 + len(self.controls)

    @property
    def waited(self) -> float | None:
        """Seconds from connect to the server's first octet, without pauses between phases; None where none came."""
        if self.connected is None or (self.fault is not None and self.fault.phase is Phase.FIRST_BYTE):
            return None
        phases = [timing.phase for timing in self.phases]
        if Phase.FIRST_BYTE not in phases:
            return None
        first = phases.index(Phase.CONNECT) + 1 if Phase.CONNECT in phases else 0
        return sum(timing.seconds for timing in self.phases[first : phases.index(Phase.FIRST_BYTE) + 1])

    @property
    def answered(self) -> float | None:
        """When the server's first octet came; where none did, when it connected."""
        return self.connected if self.connected is None else min(self.connected + (self.waited or 0.0), self.closed)

    @property
    def broke(self) -> bool:
        """Whether its connection was open, and the other side ended it amid the talk."""
        return self.connected is not None and self.fault is not None and self.fault.failure in BROKEN

    @property
    def took_place(self) -> bool:
        """False if the vantage could not open it, or stood still or was cut off amid it: nobody looked."""
        return self.fault is None or (
            self.fault.failure is not Failure.VANTAGE and not self.lost_meanwhile(Failure.VANTAGE)
        )

    @property
    def held_back(self) -> bool:
        """Whether its login was left out: what a login comes to now it does not tell."""
        return self.fault is not None and self.fault.failure is Failure.LOGIN_HELD

    def lost_meanwhile(self, failure: Failure) -> bool:
        """Whether its connection came about and failed, and the last one after it could not even be opened, like this.

        Where the vantage could not open that one, the session tells what it told, unless it went dead in silence: that
        may then have been the vantage too. So it does where the server had answered it, and the next SYN was not: a
        firewall that limits connections does that, and a drop will show by the next session.
        """
        again = self.controls[-1].fault if self.controls else None
        if self.fault is None or again is None or again.failure is not failure:
            return False
        vanished = self.fault.failure is Failure.VANISHED
        if failure is Failure.VANTAGE:
            return vanished
        limited = failure is Failure.TIMED_OUT and self.server_spoke
        return again.phase is Phase.CONNECT and (vanished or not limited)

    def control_failed(self, kind: ControlKind, failure: Failure) -> bool:
        """Whether such a control connection was made and ended like this."""
        faults = [control.fault for control in self.controls if control.kind is kind]
        return any(fault is not None and fault.failure is failure for fault in faults)

    @property
    def fell_before_greeting(self) -> bool:
        """Whether it was connected, and failed before it was greeted."""
        return self.fault is not None and self.fault.phase in BEFORE_GREETING

    def seconds_in(self, phase: Phase) -> float:
        """Time spent in a phase, 0 if it never ran."""
        return sum(timing.seconds for timing in self.phases if timing.phase is phase)
