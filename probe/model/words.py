"""The closed sets: services, phases, failures, verdicts and the like, each by the contract's word.

Metrics label with these values, so a member is added with care and none is renamed.
"""

from __future__ import annotations

from enum import StrEnum


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
    """A timed stretch of a session. Of a TLS-first session FIRST_BYTE is the first byte after the handshake.

    DELIVERY, of a `deliver` imprint: from MAIL FROM until the message is in the mailbox, with the QUIT between them.
    """

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
    DELIVERY = "delivery"


class Failure(StrEnum):
    """How a phase failed, as the client saw it.

    TIMED_OUT: no answer in time. VANISHED: on an open connection not even TCP acknowledged anything any more.
    LOGIN_HELD: not tried, for the server has refused it lately.
    UNREACHABLE: so said somebody on the way. NO_ROUTE: so said this machine, and has sent nothing. VANTAGE: it could
    not do its part, or it stood still.
    """

    NAME_UNKNOWN = "name_unknown"
    TIMED_OUT = "timed_out"
    VANISHED = "vanished"
    UNREACHABLE = "unreachable"
    NO_ROUTE = "no_route"
    REFUSED = "refused"
    RESET = "reset"
    CLOSED = "closed"
    TLS_BROKEN = "tls_broken"
    CERTIFICATE_INVALID = "certificate_invalid"
    NOT_OFFERED = "not_offered"
    BAD_CREDENTIALS = "bad_credentials"
    LOGIN_HELD = "login_held"
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


class ControlKind(StrEnum):
    """What a second, harmless connection did differently from the first."""

    CONNECT = "connect"
    SILENT = "silent"
    LOCAL_HEADER = "local_header"
    NO_HEADER = "no_header"


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


class Origin(StrEnum):
    """Where a fact is known from."""

    CONFIGURATION = "configuration"
    HEALTH_CHECK = "health_check"
    NEIGHBOURS = "neighbours"
    EXCHANGE = "exchange"
    KUBERNETES = "kubernetes"
    METALLB = "metallb"


class HealthPort(StrEnum):
    """How a node's healthCheckNodePort reacted. Only ANSWERED comes with counts."""

    ANSWERED = "answered"
    CLOSED = "closed"
    SILENT = "silent"
    GARBLED = "garbled"


class Policy(StrEnum):
    """externalTrafficPolicy of the Service."""

    LOCAL = "Local"
    CLUSTER = "Cluster"
