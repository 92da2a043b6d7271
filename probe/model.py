"""The vocabulary of mailprobe. Read this first.

    Endpoint ──open──▶ Session ──look for──▶ Sightings ──judge──▶ Judgement ──tell──▶ Result
    (settings)         what the client saw   what the server saw  what it proves

Rules of this file:
- Every value is frozen; nothing here does I/O, reads a clock or makes a random choice.
- Times are seconds since the epoch on the probe's own clock (`clock` arguments elsewhere); durations are seconds.
- One word per idea, the contract's word; enumerations are closed sets because metrics label with them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from types import MappingProxyType

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


class Service(StrEnum):
    """One service on a path, by its IANA name."""

    SMTP = "smtp"
    SUBMISSION = "submission"
    SUBMISSIONS = "submissions"
    IMAPS = "imaps"

    @property
    def default_port(self) -> int:
        """TCP port in the IANA registry."""
        return _DEFAULT_PORTS[self]

    @property
    def tls_first(self) -> bool:
        """True where the TLS handshake comes before the first byte of the protocol (RFC 8314 section 3)."""
        return self in (Service.SUBMISSIONS, Service.IMAPS)

    @property
    def speaks_smtp(self) -> bool:
        """True for all but imaps."""
        return self is not Service.IMAPS


_DEFAULT_PORTS = {Service.SMTP: 25, Service.SUBMISSION: 587, Service.SUBMISSIONS: 465, Service.IMAPS: 993}


class Phase(StrEnum):
    """A timed stretch of a session. Of a TLS-first session FIRST_BYTE is the first byte after the handshake."""

    RESOLVE = "resolve"
    CONNECT = "connect"
    PROXY_HEADER = "proxy_header"
    TLS = "tls"
    FIRST_BYTE = "first_byte"
    GREETING = "greeting"
    HELLO = "hello"
    STARTTLS = "starttls"
    LOGIN = "login"
    IMPRINT = "imprint"
    QUIT = "quit"


class Failure(StrEnum):
    """How a phase failed, as the client saw it."""

    NAME_UNKNOWN = "name_unknown"
    TIMED_OUT = "timed_out"
    UNREACHABLE = "unreachable"
    REFUSED = "refused"
    RESET = "reset"
    CLOSED = "closed"
    TLS_BROKEN = "tls_broken"
    CERTIFICATE_INVALID = "certificate_invalid"
    NOT_OFFERED = "not_offered"
    BAD_CREDENTIALS = "bad_credentials"
    RATE_LIMITED = "rate_limited"
    REJECTED = "rejected"
    PROTOCOL_BROKEN = "protocol_broken"
    VANTAGE = "vantage"


class Severity(StrEnum):
    """What a verdict means to a pager, in the order of the worst first."""

    CRITICAL = "critical"
    WARNING = "warning"
    UNKNOWN = "unknown"
    OK = "ok"

    @property
    def exit_code(self) -> int:
        """Exit code of a monitoring plugin."""
        return _EXIT_CODES[self]


_EXIT_CODES = {Severity.OK: 0, Severity.WARNING: 1, Severity.CRITICAL: 2, Severity.UNKNOWN: 3}


def worst(severities: list[Severity]) -> Severity:
    """The severity that decides for a whole run; no session at all proves nothing and is UNKNOWN."""
    return next((severity for severity in Severity if severity in severities), Severity.UNKNOWN)


class Verdict(StrEnum):
    """What a session proves. A closed set: metrics carry one series per verdict."""

    PRESERVED = "preserved"
    MASKED = "masked"
    SILENT_DROP = "silent_drop"
    UNANNOUNCED = "unannounced"
    REFUSED = "refused"
    PROXY_HEADER_TIMEOUT = "proxy_header_timeout"
    PROXY_HEADER_UNEXPECTED = "proxy_header_unexpected"
    PROXY_HEADER_UNTRUSTED = "proxy_header_untrusted"
    SPOOFABLE = "spoofable"
    NO_GREETING = "no_greeting"
    TLS_FAILED = "tls_failed"
    LOGIN_FAILED = "login_failed"
    RATE_LIMITED = "rate_limited"
    SERVICE_ERROR = "service_error"
    RESOLVE_FAILED = "resolve_failed"
    UNVERIFIED = "unverified"

    @property
    def severity(self) -> Severity:
        """OK, WARNING and UNKNOWN are the exceptions; everything else is critical."""
        return _MILDER.get(self, Severity.CRITICAL)


_MILDER = {
    Verdict.PRESERVED: Severity.OK,
    Verdict.RATE_LIMITED: Severity.WARNING,
    Verdict.SERVICE_ERROR: Severity.WARNING,
    Verdict.UNVERIFIED: Severity.UNKNOWN,
}


class MaskedBy(StrEnum):
    """Whose address the server saw instead of the client's."""

    NODE = "node"
    POD = "pod"
    GATEWAY = "gateway"
    PROXY = "proxy"
    OTHER = "other"


class Link(StrEnum):
    """How a sighting was tied to its session."""

    TOKEN = "token"  # noqa: S105 - a kind of link, not a secret
    FINGERPRINT = "fingerprint"
    SESSION_ID = "session_id"
    PORT = "port"
    RHYTHM = "rhythm"
    TIME = "time"
    REPLY = "reply"
    MESSAGE = "message"


class ImprintKind(StrEnum):
    """What a session is asked to leave in the server's logs."""

    FINGERPRINT = "fingerprint"
    REJECT = "reject"
    DELIVER = "deliver"
    SESSION = "session"
    ID = "id"
    LOGIN = "login"
    NONE = "none"


class AddressFamily(StrEnum):
    """Which addresses of a name a path uses; ANY is the first that resolves."""

    IPV4 = "ipv4"
    IPV6 = "ipv6"
    ANY = "any"


class ProxyHeader(StrEnum):
    """Version of the PROXY header a path sends, as the upstream proxy would (PROXY protocol, sections 2.1 and 2.2)."""

    NONE = "none"
    V1 = "v1"
    V2 = "v2"


@dataclass(frozen=True, slots=True)
class Peer:
    """One end of a connection; `port` is None where a log line names only the address."""

    address: Address
    port: int | None = None

    def __str__(self) -> str:
        if self.port is None:
            return str(self.address)
        return f"[{self.address}]:{self.port}" if self.address.version == 6 else f"{self.address}:{self.port}"


def plain_address(text: str) -> Address:
    """Parse an address; IPv4-mapped IPv6 (`::ffff:192.0.2.1`) is the IPv4 address it carries. ValueError otherwise."""
    address = ip_address(text.split("%", 1)[0])
    return getattr(address, "ipv4_mapped", None) or address


class Secret:
    """A password or token that no log, page, metric or traceback shows by accident."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The secret itself; call this only where it goes onto the wire."""
        return self._text

    def __repr__(self) -> str:
        return "Secret(****)"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)


@dataclass(frozen=True, kw_only=True, slots=True)
class Login:
    """Credentials of the probe's own mailbox."""

    username: str
    password: Secret


@dataclass(frozen=True, kw_only=True, slots=True)
class TlsOptions:
    """TLS settings of a path; equal options share one context. `server_name` None means the path's host."""

    server_name: str | None = None
    ca_file: str | None = None
    verify: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Timeouts:
    """Bounds in seconds: one connect, one whole session, the wait for evidence after it."""

    connect: float = 5.0
    session: float = 30.0
    evidence: float = 15.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Endpoint:
    """One service on a path, with all that opening a session needs."""

    path: str
    service: Service
    host: str
    port: int
    family: AddressFamily = AddressFamily.ANY
    source_address: Address | None = None
    proxy_header: ProxyHeader = ProxyHeader.NONE
    tls: TlsOptions = TlsOptions()
    login: Login | None = None
    imprint: ImprintKind = ImprintKind.NONE
    expected: tuple[Network, ...] = ()
    timeouts: Timeouts = Timeouts()

    def __str__(self) -> str:
        return f"{self.path}/{self.service}"


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


@dataclass(frozen=True, slots=True)
class Spoken:
    """One line of the transcript: seconds since the session opened, who spoke, what (secrets already masked).

    `whole`: the line came with its end and is not cut. Half an address is another address, so only such lines tell one.
    """

    seconds: float
    ours: bool
    text: str
    whole: bool = True


class ControlKind(StrEnum):
    """What a second, harmless connection did differently from the first."""

    SILENT = "silent"
    LOCAL_HEADER = "local_header"
    NO_HEADER = "no_header"


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


class Naming(StrEnum):
    """When a Dovecot gives a connection its session id: 2.4 as it accepts it, 2.3 as it first needs the id."""

    ACCEPTED = "accepted"
    NEEDED = "needed"


Named = Mapping[Naming, Span]
"""When a connection must have got its session id, on each of the two assumptions.

ACCEPTED lies between connect and greeting; NEEDED between the first LOGIN, ID or LOGOUT and its answer.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Beat:
    """One extra connection of a rhythm."""

    named: Named


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
    named: Named = field(default_factory=dict)
    beats: tuple[Beat, ...] = ()

    @property
    def seconds(self) -> float:
        """Duration of the whole session."""
        return self.closed - self.opened


@dataclass(frozen=True, kw_only=True, slots=True)
class Sighting:
    """One observation of a session from the server's side, tied to it beyond doubt by `link`.

    `at` is the time the log line or reply reached the probe; `line` the line or reply itself.
    """

    address: Address
    port: int | None
    link: Link
    source: str
    at: float
    line: str


class FaultSign(StrEnum):
    """Server-side faults that logs name (field knowledge: which Postfix or Dovecot line says so)."""

    PROXY_HEADER_MISSING = "proxy_header_missing"
    PROXY_HEADER_UNEXPECTED = "proxy_header_unexpected"
    PROXY_HEADER_UNTRUSTED = "proxy_header_untrusted"
    TLS_HANDSHAKE = "tls_handshake"
    THROTTLED = "throttled"
    HEALTH_CHECK = "health_check"
    RATE_LIMITED = "rate_limited"
    SERVICE_FATAL = "service_fatal"


@dataclass(frozen=True, kw_only=True, slots=True)
class Sign:
    """A fault line seen in the session's window; it never says whose session it was, so it never proves an address."""

    sign: FaultSign
    client: Address | None
    source: str
    at: float
    line: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """What the search for one session gave: sightings, fault signs, and why nothing else counted."""

    sightings: tuple[Sighting, ...] = ()
    signs: tuple[Sign, ...] = ()
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Judgement:
    """What a session proves, by which rule, in words for a person."""

    verdict: Verdict
    rule: str
    explanation: str
    hint: str
    masked_by: MaskedBy | None = None
    cause: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """A judged session: what every report tells."""

    session: Session
    evidence: Evidence
    judgement: Judgement


@dataclass(frozen=True, kw_only=True, slots=True)
class Networks:
    """Whose address is whose. Of several that hold an address the most telling names it: a proxy may run on a node."""

    nodes: tuple[Network, ...] = ()
    pods: tuple[Network, ...] = ()
    gateways: tuple[Network, ...] = ()
    proxies: tuple[Network, ...] = ()

    def owner(self, address: Address) -> MaskedBy:
        """Whose address this is; OTHER where the configuration does not say."""
        owners = (
            (MaskedBy.PROXY, self.proxies),
            (MaskedBy.NODE, self.nodes),
            (MaskedBy.GATEWAY, self.gateways),
            (MaskedBy.POD, self.pods),
        )
        return next((who for who, held in owners if within(address, held)), MaskedBy.OTHER)


def within(address: Address, networks: tuple[Network, ...]) -> bool:
    """True if any of the networks of the address's own family holds it."""
    return any(address in network for network in networks if network.version == address.version)


@dataclass(frozen=True, kw_only=True, slots=True)
class Round:
    """One cycle over all endpoints: what `--once` prints."""

    vantage: str
    started: float
    seconds: float
    results: tuple[Result, ...] = field(default=())

    @property
    def severity(self) -> Severity:
        """The worst session decides."""
        return worst([result.judgement.verdict.severity for result in self.results])
