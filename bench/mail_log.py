"""A made-up mail log of any length: the mix of a mail server for some hundred people, the same for the same seed.

Rules of this file:
- Each kind of traffic is a function that gives the lines of one session or message; TRAFFIC says how often it comes,
  MIXES has other proportions.
- Clients come back: a few hundred addresses make most of the traffic, a long tail of strangers the rest.
- Line formats are those of rsyslog's RFC 3339 template, Postfix, Dovecot (through syslog) and rspamd.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from ipaddress import IPv4Address
from pathlib import Path
from random import Random

from probe.evidence.session_id import encode
from probe.model import Peer

START = 1795372800.0
_HEX = "0123456789ABCDEF"
_TALLIES = (
    "ehlo=2 starttls=1 mail=1 rcpt=1 bdat=1 quit=1 commands=7",
    "ehlo=2 starttls=1 mail=1 rcpt=1 data=1 quit=1 commands=7",
    "ehlo=1 mail=1 rcpt=0/1 quit=1 commands=3/4",
    "ehlo=2 starttls=1 auth=1 mail=1 rcpt=2 data=1 quit=1 commands=9",
    "ehlo=1 auth=0/1 quit=1 commands=2/3",
    "commands=0/0",
)
_CIPHER = "TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)"


class Mill:
    """Grinds out traffic; a clock that goes forward, and the same strangers again and again."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)  # noqa: S311 - the same log every time is the point
        self.now = START
        self.regulars = [str(IPv4Address(self.random.getrandbits(32) | 0x10000000)) for _ in range(400)]

    def address(self) -> str:
        """Four of five clients are regulars."""
        if self.random.random() < 0.8:
            return self.random.choice(self.regulars)
        return str(IPv4Address(self.random.getrandbits(32) | 0x10000000))

    def queue_id(self) -> str:
        return "".join(self.random.choices(_HEX, k=11))

    def line(self, program: str, message: str) -> str:
        """One log line, some milliseconds after the one before."""
        self.now += self.random.expovariate(12.0)
        when = datetime.fromtimestamp(self.now, UTC).isoformat(timespec="microseconds")
        return f"{when} mail {program}: {message}\n"

    def pid(self) -> int:
        return self.random.randrange(1000, 1060)


def inbound(mill: Mill) -> Iterator[str]:
    """A message from outside to a mailbox here."""
    address, port, queue, after = mill.address(), mill.random.randrange(1024, 65535), mill.queue_id(), mill.queue_id()
    host = f"mx{sum(address.encode()) % 97}.example.net" if hash_of(address) % 3 else "unknown"
    smtpd, sender = f"postfix/smtpd[{mill.pid()}]", f"news-{mill.random.randrange(10**6)}@example.net"
    yield mill.line("postfix/postscreen[811]", f"CONNECT from [{address}]:{port} to [10.10.1.5]:25")
    yield mill.line("postfix/postscreen[811]", f"PASS OLD [{address}]:{port}")
    yield mill.line(smtpd, f"connect from {host}[{address}]")
    yield mill.line(smtpd, f"Anonymous TLS connection established from {host}[{address}]: {_CIPHER}")
    yield mill.line(smtpd, f"{queue}: client={host}[{address}]")
    yield mill.line(f"postfix/cleanup[{mill.pid()}]", f"{queue}: message-id=<{after}.{queue}@example.net>")
    yield mill.line(
        "rspamd[77]",
        f"<{after[:6].lower()}>; proxy; rspamd_task_write_log: qid: <{queue}>, ip: {address}, from: <{sender}>, "
        f"(default: F (no action): [-0.10/15.00] [R_SPF_ALLOW(-0.20){{+ip4}}]), len: 20931, time: 210.1ms",
    )
    yield mill.line("rspamd[77]", f"<{after[:6].lower()}>; proxy; proxy_milter_finish_handler: finished connection")
    yield mill.line(f"opendkim[{mill.pid()}]", f"{queue}: mx.example.net [{address}] not internal")
    yield mill.line("postfix/qmgr[812]", f"{queue}: from=<{sender}>, size=21384, nrcpt=1 (queue active)")
    yield mill.line(smtpd, f"disconnect from {host}[{address}] {mill.random.choice(_TALLIES[:2])}")
    yield from delivered_here(mill, queue, after)


def delivered_here(mill: Mill, queue: str, after: str) -> Iterator[str]:
    """Postfix hands a message to Dovecot's LMTP."""
    user, pid = f"user{mill.random.randrange(300)}@example.org", mill.pid()
    yield mill.line("dovecot", f"lmtp({pid}): Connect from local")
    yield mill.line("dovecot", f"lmtp({user})<{pid}><{after}>: msgid=<{after}@example.net>: saved mail to INBOX")
    yield mill.line(
        f"postfix/lmtp[{pid}]",
        f"{queue}: to=<{user}>, relay=mail[private/dovecot-lmtp], delay=0.4, delays=0.3/0/0.01/0.08, dsn=2.0.0, "
        f"status=sent (250 2.0.0 <{user}> {after} Saved)",
    )
    yield mill.line("dovecot", f"lmtp({pid}): Disconnect from local: Logged out (state=READY)")
    yield mill.line("postfix/qmgr[812]", f"{queue}: removed")


def outbound(mill: Mill) -> Iterator[str]:
    """Somebody here sends a message out."""
    address, queue, user = mill.address(), mill.queue_id(), f"user{mill.random.randrange(300)}@example.org"
    smtpd, host = f"postfix/submission/smtpd[{mill.pid()}]", "unknown"
    yield mill.line(smtpd, f"connect from {host}[{address}]")
    yield mill.line(smtpd, f"Anonymous TLS connection established from {host}[{address}]: {_CIPHER}")
    yield mill.line(smtpd, f"{queue}: client={host}[{address}], sasl_method=PLAIN, sasl_username={user}")
    yield mill.line(f"postfix/cleanup[{mill.pid()}]", f"{queue}: message-id=<{queue}@example.org>")
    yield mill.line("postfix/qmgr[812]", f"{queue}: from=<{user}>, size=2384, nrcpt=2 (queue active)")
    yield mill.line(smtpd, f"disconnect from {host}[{address}] {_TALLIES[3]}")
    smtp = f"postfix/smtp[{mill.pid()}]"
    yield mill.line(smtp, f"Trusted TLS connection established to mx.example.com[192.0.2.25]:25: {_CIPHER}")
    for name in ("ann", "bob"):
        yield mill.line(
            smtp,
            f"{queue}: to=<{name}@example.com>, relay=mx.example.com[192.0.2.25]:25, delay=1.1, "
            f"delays=0.1/0.01/0.3/0.7, dsn=2.0.0, status=sent (250 2.0.0 Ok: queued as {mill.queue_id()})",
        )
    yield mill.line("postfix/qmgr[812]", f"{queue}: removed")


def refused(mill: Mill) -> Iterator[str]:
    """Spam that gets as far as RCPT."""
    address, port = mill.address(), mill.random.randrange(1024, 65535)
    smtpd = f"postfix/smtpd[{mill.pid()}]"
    yield mill.line("postfix/postscreen[811]", f"CONNECT from [{address}]:{port} to [10.10.1.5]:25")
    yield mill.line("postfix/postscreen[811]", f"PASS OLD [{address}]:{port}")
    yield mill.line(smtpd, f"connect from unknown[{address}]")
    yield mill.line(
        smtpd,
        f"NOQUEUE: reject: RCPT from unknown[{address}]: 554 5.7.1 <x@example.com>: Relay access denied; "
        f"from=<spam{port}@example.net> to=<x@example.com> proto=ESMTP helo=<host-{port}.example.net>",
    )
    yield mill.line(smtpd, f"disconnect from unknown[{address}] {_TALLIES[2]}")


def screened(mill: Mill) -> Iterator[str]:
    """Spam that postscreen stops."""
    address, port = mill.address(), mill.random.randrange(1024, 65535)
    screen = "postfix/postscreen[811]"
    yield mill.line(screen, f"CONNECT from [{address}]:{port} to [10.10.1.5]:25")
    yield mill.line(f"postfix/dnsblog[{mill.pid()}]", f"addr {address} listed by domain zen.example.net as 127.0.0.4")
    yield mill.line(screen, f"PREGREET 14 after 0.04 from [{address}]:{port}: EHLO ylmf-pc\\r\\n")
    yield mill.line(screen, f"DISCONNECT [{address}]:{port}")


def guessing(mill: Mill) -> Iterator[str]:
    """A password guesser on 587."""
    address, smtpd = mill.address(), f"postfix/submission/smtpd[{mill.pid()}]"
    yield mill.line(smtpd, f"connect from unknown[{address}]")
    yield mill.line(
        smtpd,
        f"warning: unknown[{address}]: SASL LOGIN authentication failed: (reason unavailable), sasl_username=admin",
    )
    yield mill.line(smtpd, f"lost connection after AUTH from unknown[{address}]")
    yield mill.line(smtpd, f"disconnect from unknown[{address}] {_TALLIES[4]}")


def mailbox(mill: Mill) -> Iterator[str]:
    """A mail program looks for new mail."""
    address, port = mill.address(), mill.random.randrange(1024, 65535)
    user, pid = f"user{mill.random.randrange(300)}@example.org", mill.random.randrange(2000, 90000)
    session = encode(mill.now, Peer(IPv4Address(address), port))
    elements = f"rip={address}, lip=10.10.1.5, mpid={pid}, TLS, session=<{session}>"
    yield mill.line("dovecot", f"imap-login: Login: user=<{user}>, method=PLAIN, {elements}")
    yield mill.line(
        "dovecot",
        f"imap({user})<{pid}><{session}>: Disconnected: Logged out in=412 out=3911 deleted=0 expunged=0 trashed=0 "
        "hdr_count=3 hdr_bytes=1201 body_count=0 body_bytes=0",
    )


def stranger(mill: Mill) -> Iterator[str]:
    """Somebody knocks at 993 and leaves."""
    address = mill.address()
    session = encode(mill.now, Peer(IPv4Address(address), mill.random.randrange(1024, 65535)))
    yield mill.line(
        "dovecot",
        "imap-login: Disconnected: Connection closed (no auth attempts in 0 secs): user=<>, "
        f"rip={address}, lip=10.10.1.5, TLS, session=<{session}>",
    )


def hash_of(text: str) -> int:
    """A hash that is the same in every run."""
    return sum(ord(letter) * (place + 1) for place, letter in enumerate(text))


Traffic = tuple[tuple[Callable[[Mill], Iterator[str]], int], ...]
"""What happens how often, in sessions."""

TRAFFIC: Traffic = (
    (inbound, 40),
    (outbound, 10),
    (refused, 12),
    (screened, 20),
    (guessing, 8),
    (mailbox, 35),
    (stranger, 4),
)
"""A server for some hundred people, with everything that knocks at its doors."""

MIXES: dict[str, Traffic] = {
    "all together": TRAFFIC,
    "deliveries alone": ((inbound, 4), (outbound, 1)),
    "strangers and spam alone": ((refused, 12), (screened, 20), (guessing, 8), (stranger, 4)),
    "mailboxes alone": ((mailbox, 1),),
}
"""How many lines give an event depends on who comes: a delivery makes 10 to 16 lines, 3 or 4 of which name a client."""


def write(path: Path, lines: int, traffic: Traffic = TRAFFIC, *, seed: int = 1) -> None:
    """Write a log of this many lines."""
    mill, left = Mill(seed), lines
    kinds, weights = zip(*traffic, strict=True)
    with path.open("w", encoding="ascii") as log:
        while left > 0:
            session = list(mill.random.choices(kinds, weights)[0](mill))[:left]
            log.writelines(session)
            left -= len(session)
