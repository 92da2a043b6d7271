r"""The client's own address in a server's reply: evidence without access to any log.

Rules of this file:
- Only whole lines of known replies count, and only the place in them where Postfix or Dovecot writes the peer.
- A reply echoes what the client said (HELO, sender, recipient, parameters), mostly in `<…>`. No row allows a `<`, a
  `>` or a free word of the client beside the address, so an echo fits none.
- Two different addresses in one reply prove nothing. Neither does `2001:db8::5:1234`, which is an address as well as
  an address with a port: for IPv6 write `\c;client=[$client_address]:$client_port`.
"""

from __future__ import annotations

import re

from probe.evidence.peer import ADDRESS, CLIENT, peer_at
from probe.model import Peer

_CODE = r"(?:[45]\d\d[ -])?(?:[45]\.\d{1,3}\.\d{1,3} )?"
_TAG = r"(?:[^\s(){%*\"\\\]]{1,64} )?"
_HOST = r"(?:[\w.-]{1,255} )?"
_TOLD = r"client=(?P<told>[\[\]0-9A-Za-z:.%_-]{2,90})"
_FOOTER = rf"(?:;{_TOLD})"
_WORDS = r"(?:Error: )?[A-Za-z ]{1,80}"

PLACES: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (name, re.compile(source))
    for name, source in (
        # 503 5.5.1 Error: need RCPT command;client=192.168.1.10:40628      smtpd_reject_footer of our making
        ("footer", rf"{_CODE}{_WORDS}{_FOOTER}"),
        # 554 5.7.1 <nobody@example.org>: Relay access denied;client=192.168.1.10:40628
        ("footer-relay", rf"{_CODE}<[^<>]{{0,512}}>: Relay access denied{_FOOTER}"),
        # 554 5.7.1 <unknown[192.168.1.10]>: Client host rejected: Access denied
        ("host-rejected", rf"{_CODE}<{CLIENT}>: Client host rejected: [^<>;]{{0,512}}{_FOOTER}?"),
        # 450 4.7.25 Client host rejected: cannot find your hostname, [192.168.1.10]
        (
            "no-hostname",
            rf"{_CODE}Client host rejected: cannot find your (?:reverse )?hostname, \[({ADDRESS})\]{_FOOTER}?",
        ),
        # 421 4.7.0 mail.example.org Error: too many connections from 192.168.1.10
        ("too-many", rf"{_CODE}{_HOST}Error: too (?:many|much) [A-Za-z ]{{1,40}} from \[?({ADDRESS})\]?{_FOOTER}?"),
        # a1 NO [CONTACTADMIN] client=10.0.20.102:8254;real=10.0.20.102:8254      static passdb of our making
        ("whoami", rf"{_TAG}NO \[[A-Z-]{{1,40}}\] {_TOLD}(?:;real=[^\s<>]{{2,90}})?"),
    )
)
"""Where a server writes the peer's address, one row per reply of the field."""

_BRACKETED = re.compile(rf"\[({ADDRESS})\](?::(\d{{1,5}}))?")
_MOST_LINES = 256


def client_in_reply(text: str) -> Peer | None:
    """The client as the server sees it, from one SMTP or IMAP reply of one or more lines; None if it does not say."""
    lines = [line.strip() for line in text.split("\n", _MOST_LINES)[:_MOST_LINES]]
    try:
        peers = {peer for line in lines if len(line) <= 2048 for peer in _peers(line)}
    except ValueError:
        return None
    if len({peer.address for peer in peers}) != 1:
        return None
    ports = {peer.port for peer in peers} - {None}
    return Peer(peers.pop().address, ports.pop() if len(ports) == 1 else None)


def _peers(line: str) -> list[Peer]:
    match = next((match for _, place in PLACES if (match := place.fullmatch(line))), None)
    if not match:
        return []
    told = match.groupdict().get("told")
    written = match.groups()[: match.re.groups - ("told" in match.re.groupindex)]
    found = [_with_port(told) if told else None, peer_at(written[0], *written[1:]) if written else None]
    return [peer for peer in found if peer]


def _with_port(text: str) -> Peer | None:
    """`1.2.3.4:25`, `1.2.3.4`, `[2001:db8::1]:25`, `2001:db8::1:40628`; ValueError if it can be read in two ways."""
    bracketed = _BRACKETED.fullmatch(text)
    if bracketed:
        return peer_at(*bracketed.groups())
    address, _, port = text.rpartition(":")
    readings = [peer for parts in ((text, None), (address, port)) if (peer := _reading(*parts))]
    if len(readings) != 1:
        raise ValueError(f"not one address: {text}")
    return readings[0]


def _reading(address: str, port: str | None) -> Peer | None:
    if port is not None and not (port.isascii() and port.isdigit()):
        return None
    try:
        return peer_at(address, port)
    except ValueError:
        return None
