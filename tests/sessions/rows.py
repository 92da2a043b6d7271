"""The tables: which peer, what it does wrong and when, and what a session against it must end as.

One Row may name several services. `verdict`, `phase` and `rule` are literal: contract section 2, by hand.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ssl import SSLContext

from probe.model import Phase, ProxyHeader, Service, Verdict
from tests.sessions.acts import (
    after,
    endless,
    hang_up,
    huge,
    reset,
    say,
    silence,
    trickle,
)
from tests.sessions.moment import Moment
from tests.sessions.peers import CAPABILITIES, Act, Certificates

SMTP, SUBMISSION, SUBMISSIONS, IMAPS = Service
STARTTLS_FIRST = (SMTP, SUBMISSION)
TLS_FIRST = (SUBMISSIONS, IMAPS)
SPEAKS_SMTP = (SMTP, SUBMISSION, SUBMISSIONS)
ALL = tuple(Service)

GOOD = ("unverified", None, "no-sighting")
MUTE = ("no_greeting", "first_byte", "no-byte-or-no-greeting")
HALF_GREETED = ("no_greeting", "greeting", "no-byte-or-no-greeting")
BAD_TLS = ("tls_failed", "tls", "handshake-failed")
BAD_STARTTLS = ("tls_failed", "starttls", "handshake-failed")
BAD_LOGIN = ("login_failed", "login", "credentials-refused")
NO_HEADER_CAME = ("proxy_header_timeout", "works-with-local-header")
HEADER_UNWANTED = "proxy_header_unexpected"


def failing(phase: str) -> tuple[str, str | None, str]:
    """A service error in this phase."""
    return ("service_error", phase, "not-a-success")


def limited(phase: str) -> tuple[str, str | None, str]:
    """Too many connections, said in this phase."""
    return ("rate_limited", phase, "too-many-connections")


@dataclass(frozen=True, kw_only=True)
class Row:
    """One peer per service, and the end of the session against each."""

    name: str
    services: tuple[Service, ...]
    acts: Mapping[Moment, Act] = field(default_factory=dict)
    end: tuple[str, str | None, str]
    header: ProxyHeader = ProxyHeader.NONE
    offers: tuple[bytes, ...] | None = None
    capabilities: bytes = CAPABILITIES
    certificate: Callable[[Certificates], SSLContext] | None = None

    @property
    def verdict(self) -> Verdict:
        return Verdict(self.end[0])

    @property
    def phase(self) -> Phase | None:
        return None if self.end[1] is None else Phase(self.end[1])

    @property
    def rule(self) -> str:
        return self.end[2]


def _broken(services: tuple[Service, ...], moment: Moment, end: tuple[str, str | None, str]) -> tuple[Row, ...]:
    """RST, FIN and silence at one moment end alike."""
    acts = {"rst": reset, "fin": hang_up, "silence": silence}
    return tuple(
        Row(name=f"{word}-{moment}", services=services, acts={moment: act}, end=end) for word, act in acts.items()
    )


def says(
    name: str, services: tuple[Service, ...], moment: Moment, text: bytes, end: tuple[str, str | None, str]
) -> Row:
    return Row(name=name, services=services, acts={moment: say(text)}, end=end)


CONNECTION: tuple[Row, ...] = (
    Row(name="good", services=ALL, end=GOOD),
    # accepted, and then nothing good
    *_broken(STARTTLS_FIRST, Moment.ACCEPT, MUTE),
    Row(name="rst-accept", services=TLS_FIRST, acts={Moment.ACCEPT: reset}, end=("no_greeting", "tls", MUTE[2])),
    Row(name="fin-accept", services=TLS_FIRST, acts={Moment.ACCEPT: hang_up}, end=("no_greeting", "tls", MUTE[2])),
    Row(name="silence-accept", services=TLS_FIRST, acts={Moment.ACCEPT: silence}, end=("no_greeting", "tls", MUTE[2])),
    *_broken(ALL, Moment.GREETING, MUTE),
    *_broken(ALL, Moment.HELLO, failing("hello")),
    *_broken(STARTTLS_FIRST, Moment.STARTTLS, failing("starttls")),
    *_broken(STARTTLS_FIRST, Moment.HANDSHAKE, BAD_STARTTLS),
    *_broken(STARTTLS_FIRST, Moment.HELLO_AGAIN, failing("starttls")),
    *_broken(ALL, Moment.LOGIN, failing("login")),
    *_broken(ALL, Moment.IMPRINT, failing("imprint")),
    *_broken(ALL, Moment.QUIT, GOOD),
    # half a greeting
    Row(
        name="fin-in-greeting",
        services=SPEAKS_SMTP,
        acts={Moment.GREETING: say(b"220-mail", then=hang_up)},
        end=HALF_GREETED,
    ),
    Row(
        name="fin-in-greeting", services=(IMAPS,), acts={Moment.GREETING: say(b"* OK", then=hang_up)}, end=HALF_GREETED
    ),
    Row(
        name="rst-in-greeting",
        services=SPEAKS_SMTP,
        acts={Moment.GREETING: say(b"220-a\r\n", then=after(0.2, reset))},
        end=HALF_GREETED,
    ),
    Row(name="byte-a-second", services=SPEAKS_SMTP, acts={Moment.GREETING: trickle(b"220 mail")}, end=HALF_GREETED),
    Row(name="byte-a-second", services=(IMAPS,), acts={Moment.GREETING: trickle(b"* OK hi")}, end=HALF_GREETED),
    Row(
        name="teaser",
        services=SPEAKS_SMTP,
        acts={Moment.GREETING: say(b"220-a\r\n", then=after(0.3, say(b"220 b\r\n")))},
        end=GOOD,
    ),
)

FLOODS: tuple[Row, ...] = (
    Row(
        name="endless-lines",
        services=SPEAKS_SMTP,
        acts={Moment.GREETING: endless(b"220-welcome\r\n")},
        end=failing("greeting"),
    ),
    Row(
        name="endless-lines",
        services=(IMAPS,),
        acts={Moment.GREETING: say(b"* OK\r\n", then=after(0.2, endless(b"* OK welcome\r\n")))},
        end=failing("hello"),
    ),
    Row(
        name="endless-line", services=SPEAKS_SMTP, acts={Moment.GREETING: endless(b"220-wel")}, end=failing("greeting")
    ),
    Row(name="endless-line", services=(IMAPS,), acts={Moment.GREETING: endless(b"* OK")}, end=failing("greeting")),
    Row(name="endless-newlines", services=(IMAPS,), acts={Moment.GREETING: endless(b"\n")}, end=failing("greeting")),
    Row(name="10-mib-greeting", services=SPEAKS_SMTP, acts={Moment.GREETING: huge(b"220 ")}, end=failing("greeting")),
    Row(name="10-mib-greeting", services=(IMAPS,), acts={Moment.GREETING: huge(b"* OK ")}, end=failing("greeting")),
    Row(name="10-mib-hello", services=ALL, acts={Moment.HELLO: huge(b"250 ")}, end=failing("hello")),
    Row(name="endless-hello", services=SPEAKS_SMTP, acts={Moment.HELLO: endless(b"250-X\r\n")}, end=failing("hello")),
    Row(
        name="endless-hello",
        services=(IMAPS,),
        acts={Moment.HELLO: endless(b"* CAPABILITY X\r\n")},
        end=failing("hello"),
    ),
    Row(name="endless-login", services=SPEAKS_SMTP, acts={Moment.LOGIN: endless(b"235-X\r\n")}, end=failing("login")),
    Row(name="endless-login", services=(IMAPS,), acts={Moment.LOGIN: endless(b"* X Y\r\n")}, end=failing("login")),
    Row(name="endless-quit", services=SPEAKS_SMTP, acts={Moment.QUIT: endless(b"221-X\r\n")}, end=GOOD),
    Row(name="endless-quit", services=(IMAPS,), acts={Moment.QUIT: endless(b"* X Y\r\n")}, end=GOOD),
    Row(
        name="literal-of-a-gigabyte",
        services=(IMAPS,),
        acts={Moment.HELLO: say(b"* CAPABILITY {999999999}\r\nx\r\n")},
        end=failing("hello"),
    ),
    Row(
        name="literal-fed-for-ever",
        services=(IMAPS,),
        acts={Moment.LOGIN: say(b"* X {999999999}\r\n", then=endless(b"abc\n"))},
        end=failing("login"),
    ),
    Row(
        name="literal-of-5000-digits",
        services=(IMAPS,),
        acts={Moment.HELLO: say(b"* CAPABILITY {%s}\r\n" % (b"9" * 5000))},
        end=failing("hello"),
    ),
    Row(name="empty-literal", services=(IMAPS,), acts={Moment.LOGIN: say(b"* X {0}\r\n\r\n%t OK in\r\n")}, end=GOOD),
)

TLS: tuple[Row, ...] = (
    Row(
        name="garbage-for-tls",
        services=TLS_FIRST,
        acts={Moment.HANDSHAKE: say(b"\xff\x00garbage\r\n" * 9, then=silence)},
        end=BAD_TLS,
    ),
    Row(
        name="garbage-for-tls",
        services=STARTTLS_FIRST,
        acts={Moment.HANDSHAKE: say(b"\xff\x00garbage\r\n" * 9, then=silence)},
        end=BAD_STARTTLS,
    ),
    Row(name="endless-garbage-for-tls", services=TLS_FIRST, acts={Moment.HANDSHAKE: endless(b"\xff\x00")}, end=BAD_TLS),
    Row(
        name="endless-garbage-for-tls",
        services=STARTTLS_FIRST,
        acts={Moment.HANDSHAKE: endless(b"\xff\x00")},
        end=BAD_STARTTLS,
    ),
    Row(
        name="alert",
        services=TLS_FIRST,
        acts={Moment.HANDSHAKE: say(b"\x15\x03\x03\x00\x02\x02\x28", then=silence)},
        end=BAD_TLS,
    ),
    Row(
        name="alert",
        services=STARTTLS_FIRST,
        acts={Moment.HANDSHAKE: say(b"\x15\x03\x03\x00\x02\x02\x28", then=silence)},
        end=BAD_STARTTLS,
    ),
    Row(
        name="half-a-handshake",
        services=TLS_FIRST,
        acts={Moment.HANDSHAKE: trickle(b"\x16\x03\x03\x00\x7a\x02\0\0", 0.3)},
        end=BAD_TLS,
    ),
    Row(
        name="half-a-handshake",
        services=STARTTLS_FIRST,
        acts={Moment.HANDSHAKE: trickle(b"\x16\x03\x03\x00\x7a\x02\0\0", 0.3)},
        end=BAD_STARTTLS,
    ),
    Row(name="rst-handshake", services=TLS_FIRST, acts={Moment.HANDSHAKE: reset}, end=BAD_TLS),
    Row(name="fin-handshake", services=TLS_FIRST, acts={Moment.HANDSHAKE: hang_up}, end=BAD_TLS),
    Row(
        name="silence-handshake",
        services=TLS_FIRST,
        acts={Moment.HANDSHAKE: silence},
        end=("no_greeting", "tls", MUTE[2]),
    ),
    Row(
        name="plain-text",
        services=(SUBMISSIONS,),
        acts={Moment.HANDSHAKE: say(b"220 mail ESMTP\r\n", then=silence)},
        end=BAD_TLS,
    ),
    Row(
        name="plain-text", services=(IMAPS,), acts={Moment.HANDSHAKE: say(b"* OK ready\r\n", then=silence)}, end=BAD_TLS
    ),
    Row(
        name="expired",
        services=STARTTLS_FIRST,
        certificate=lambda made: made.expired,
        end=("tls_failed", "starttls", "certificate-invalid"),
    ),
    Row(
        name="expired",
        services=TLS_FIRST,
        certificate=lambda made: made.expired,
        end=("tls_failed", "tls", "certificate-invalid"),
    ),
    Row(
        name="other-name",
        services=STARTTLS_FIRST,
        certificate=lambda made: made.other_name,
        end=("tls_failed", "starttls", "certificate-invalid"),
    ),
    Row(
        name="other-name",
        services=TLS_FIRST,
        certificate=lambda made: made.other_name,
        end=("tls_failed", "tls", "certificate-invalid"),
    ),
    Row(
        name="self-signed",
        services=STARTTLS_FIRST,
        certificate=lambda made: made.self_signed,
        end=("tls_failed", "starttls", "certificate-invalid"),
    ),
    Row(
        name="self-signed",
        services=TLS_FIRST,
        certificate=lambda made: made.self_signed,
        end=("tls_failed", "tls", "certificate-invalid"),
    ),
    # bytes that came in clear must not count as said over TLS (RFC 3207 section 4.2)
    says("injected", STARTTLS_FIRST, Moment.STARTTLS, b"220 Go\r\n250 injected\r\n", failing("starttls")),
)
