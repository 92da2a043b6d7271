"""Dovecot: session ids, and user names that look like the rest of the line."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probe.evidence import dovecot, session_id
from probe.evidence.events import IdSent, Line, LoginEnded
from probe.model import Peer, plain_address

NOW = 1795392000.0
CLIENT = plain_address("198.51.100.7")
SESSION = session_id.encode(NOW - 60, Peer(CLIENT, 4000))
LIE = session_id.encode(NOW - 60, Peer(plain_address("192.0.2.9"), 4000))
TAIL = f"rip=198.51.100.7, lip=10.10.1.5, TLS, session=<{SESSION}>"


def parsed(message: str, program: str = "imap-login") -> object:
    return dovecot.parse(Line(message=message, program=program), now=NOW)


def test_the_session_id_of_the_field() -> None:
    # Its 48 bits are 106521771.501834 s; six wraps later is the evening of 22 November 2026, 18:20:31 as its line says.
    found = session_id.decode("CulZiOFgjsjAqAEK", now=NOW)
    assert found.opened == pytest.approx(1795371631.765770, abs=1e-6)
    assert str(found.peer) == "192.168.1.10:51342"
    assert session_id.decode("CulZiOFgjsjAqAEK", now=106521771.0).opened == pytest.approx(106521771.501834, abs=1e-6)


addresses = st.one_of(st.integers(0, 2**32 - 1).map(IPv4Address), st.integers(0, 2**128 - 1).map(IPv6Address))


@given(addresses, st.integers(0, 65535), st.integers(10**15, 4 * 10**15), st.integers(-(10**14), 10**14))
def test_session_ids_survive_the_round_trip(
    address: IPv4Address | IPv6Address, port: int, micros: int, skew: int
) -> None:
    text = session_id.encode(micros / 1e6, Peer(address, port))
    found = session_id.decode(text, now=(micros + skew) / 1e6)
    assert found.opened == pytest.approx(micros / 1e6, abs=1e-6)
    assert found.peer == Peer(getattr(address, "ipv4_mapped", None) or address, port)


@given(st.text(max_size=40))
def test_what_is_no_session_id_is_a_value_error(text: str) -> None:
    for candidate in (text, text[:16], (text + "A" * 16)[:16], (text + "A" * 32)[:32]):
        try:
            assert session_id.decode(candidate, now=NOW).text == candidate
        except ValueError:
            continue


def test_a_session_id_that_disagrees_with_rip_is_left_out() -> None:
    event = parsed(f"Login: user=<x>, method=PLAIN, rip=198.51.100.7, lip=10.10.1.5, session=<{LIE}>")
    assert event == LoginEnded(client=Peer(CLIENT), logged_in=True, user="x", attempts=1, tls=False)


@pytest.mark.parametrize("program", ["imap", "pop3-login", "auth", "my-imap-login", ""])
def test_other_programs_say_nothing(program: str) -> None:
    assert parsed(f"Login: user=<x>, method=PLAIN, {TAIL}", program) is None


def test_real_rip_beside_rip_is_no_second_rip() -> None:
    rips = "rip=198.51.100.7, lip=10.10.1.5, real_rip=10.0.0.1"
    event = parsed(f"Login: user=<x>, method=PLAIN, {rips}, session=<{SESSION}>")
    assert isinstance(event, LoginEnded)
    assert event.client == Peer(CLIENT, 4000)


PIECES = [
    ", rip=192.0.2.9", "rip=192.0.2.9", " real_rip=192.0.2.9", ", lip=10.10.1.5",
    f", session=<{LIE}>", f"session=<{LIE}",
    "user=<", ": user=<", ">", "<", ", ", ": ", "=", ", method=PLAIN", "x", "(no auth attempts in 0 secs)", "\u2028",
]  # fmt: skip
hostile = st.lists(st.sampled_from(PIECES), max_size=8).map("".join)


@given(hostile, st.sampled_from(["Login: ", "Logged in: ", "Disconnected: Aborted login (auth failed, 1 attempts): "]))
def test_a_hostile_user_name_cannot_lie_about_the_address(user: str, what: str) -> None:
    event = parsed(f"{what}user=<{user}>, method=PLAIN, {TAIL}")
    assert event is None or (isinstance(event, LoginEnded) and event.client == Peer(CLIENT, 4000))


@given(hostile)
def test_nor_can_a_hostile_id(words: str) -> None:
    event = parsed(f"ID sent: name={words}: user=<>, {TAIL}")
    assert event is None or (isinstance(event, IdSent) and event.client == Peer(CLIENT, 4000))


@given(hostile)
def test_nor_can_a_user_name_behind_the_address(user: str) -> None:
    event = parsed(f"Login: rip=198.51.100.7, lip=10.10.1.5, session=<{SESSION}>, user=<{user}>")
    assert event is None


@given(hostile)
def test_nor_a_broken_proxy_header(said: str) -> None:
    event = parsed(f"haproxy: Client disconnected: Failed to read {said} (rip=198.51.100.7)")
    assert event is None or event.client == Peer(CLIENT)  # type: ignore[attr-defined]


@given(st.text(max_size=150))
def test_any_text_gives_an_answer(message: str) -> None:
    parsed(message)
    for row in dovecot.PATTERNS:
        parsed(row.opening + message)
