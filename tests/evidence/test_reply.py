"""The client's address in replies, and no address in what only echoes the client."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probe.evidence.reply import PLACES, client_in_reply

TELLING = [
    ("503 5.5.1 Error: need RCPT command;client=192.168.1.10:40628", "192.168.1.10:40628"),
    ("503 5.5.1 Error: need RCPT command;client=192.168.1.10", "192.168.1.10"),
    ("5.5.1 Error: need RCPT command;client=192.168.1.10:40628\r\n", "192.168.1.10:40628"),
    ("530 5.7.0 Must issue a STARTTLS command first;client=2001:db8::1:40628", "[2001:db8::1]:40628"),
    ("503 5.5.1 Error: need RCPT command;client=2001:db8::1", "2001:db8::1"),
    ("503 5.5.1 Error: need RCPT command;client=[2001:db8::1]:1234", "[2001:db8::1]:1234"),
    ("503 5.5.1 Error: need RCPT command;client=[IPv6:2001:db8::1]:1234", "[2001:db8::1]:1234"),
    ("503 5.5.1 Error: need RCPT command;client=::ffff:192.168.1.10:40628", "192.168.1.10:40628"),
    ("503 5.5.1 Error: need RCPT command;client=2001:db8:1:2:3:4:5:6:8254", "[2001:db8:1:2:3:4:5:6]:8254"),
    ("554 5.7.1 <nobody@example.org>: Relay access denied;client=192.168.1.10:40628", "192.168.1.10:40628"),
    ("554 5.7.1 <unknown[192.168.1.10]>: Client host rejected: Access denied", "192.168.1.10"),
    ("554 5.7.1 <unknown[192.168.1.10]:59808>: Client host rejected: Access denied", "192.168.1.10:59808"),
    ("554 5.7.1 <unknown[192.168.1.10]>: Client host rejected: no;client=192.168.1.10:40628", "192.168.1.10:40628"),
    ("554 5.7.1 <mail.example.org[2001:db8::1]>: Client host rejected: Access denied", "2001:db8::1"),
    ("554 5.7.1 <mail.example.org[IPv6:2001:db8::1]>: Client host rejected: Access denied", "2001:db8::1"),
    ("450 4.7.25 Client host rejected: cannot find your hostname, [192.168.1.10]", "192.168.1.10"),
    ("450 4.7.25 Client host rejected: cannot find your reverse hostname, [2001:db8::1]", "2001:db8::1"),
    ("421 4.7.0 mail.example.org Error: too many connections from 192.168.1.10", "192.168.1.10"),
    ("421 4.7.0 mail.example.org Error: too many connections from 2001:db8::1", "2001:db8::1"),
    ("421 4.7.0 Error: too many connections from 192.168.1.10", "192.168.1.10"),
    ("NO [CONTACTADMIN] client=10.0.20.102:8254;real=10.0.20.102:8254", "10.0.20.102:8254"),
    ("a1 NO [CONTACTADMIN] client=203.0.113.7:8254;real=10.0.20.102:8254\r\n", "203.0.113.7:8254"),
    ("NO [CONTACTADMIN] client=2001:db8::1:40628;real=fd00::1:40628", "[2001:db8::1]:40628"),
    ("554-5.7.1 Go away\r\n554 5.7.1 <unknown[192.168.1.10]>: Client host rejected: Access denied", "192.168.1.10"),
]

SILENT = [
    "",
    "250 mail.example.org",
    "554 5.7.1 <nobody@example.org>: Relay access denied",
    "554 5.7.1 <unknown[unknown]>: Client host rejected: Access denied",
    "503 5.5.1 Error: need RCPT command;client=999.1.1.1:40",
    "503 5.5.1 Error: need RCPT command;client=192.168.1.10:70000",
    # An address as well as an address with a port.
    "503 5.5.1 Error: need RCPT command;client=2001:db8::5:1234",
    # Two addresses.
    "554 5.7.1 <unknown[192.0.2.1]>: Client host rejected: no;client=192.168.1.10:40628",
    "421 4.7.0 Error: too many connections from 192.0.2.1\n421 4.7.0 Error: too many connections from 192.0.2.2",
    # Echoes: HELO, sender, recipient, VRFY, parameters.
    "504 5.5.2 <x[192.0.2.1]>: Client host rejected: Access denied>: Helo command rejected: need fully-qualified name",
    "554 5.7.1 <x[192.0.2.1]>: Recipient address rejected: Access denied",
    "553 5.7.1 <x[192.0.2.1]>: Sender address rejected: not owned by user x",
    "554 5.7.1 <x;client=192.0.2.1:25>: Relay access denied",
    "554 5.7.1 <x>: Relay access denied;client=192.0.2.1:25>: Relay access denied",
    "554 5.7.1 <Error: need RCPT command;client=192.0.2.1:25>: Recipient address rejected",
    "252 2.0.0 x;client=192.0.2.1:25",
    "252 2.0.0 Error: need RCPT command;client=192.0.2.1:25",
    "555 5.5.4 Unsupported option: X;client=192.0.2.1:25",
    "450 4.1.1 <x>: Recipient address rejected: unverified address: no such user x;client=192.0.2.1:25",
    "250 Client host rejected: cannot find your hostname, [192.0.2.1]",
    "450 4.7.1 <Client host rejected: cannot find your hostname, [192.0.2.1]>: Helo command rejected: Host not found",
    "450 4.7.1 <Error: too many connections from 192.0.2.1>: Helo command rejected: Host not found",
    'a1 BAD Unknown command "NO [CONTACTADMIN] client=192.0.2.1:1;real=192.0.2.1:1"',
    "a1 NO [CANNOT] Mailbox client=192.0.2.1:1 does not exist",
    "a1 OK client=192.0.2.1:1",
]


@pytest.mark.parametrize(("reply", "peer"), TELLING)
def test_the_reply_tells_the_client(reply: str, peer: str) -> None:
    assert str(client_in_reply(reply)) == peer


@pytest.mark.parametrize("reply", SILENT)
def test_the_reply_tells_nothing(reply: str) -> None:
    assert client_in_reply(reply) is None


@pytest.mark.parametrize("name", [name for name, _ in PLACES])
def test_every_place_has_a_reply(name: str) -> None:
    place = dict(PLACES)[name]
    assert any(place.fullmatch(line.strip()) for reply, _ in TELLING for line in reply.split("\n"))


ECHOES = [
    "504 5.5.2 <{}>: Helo command rejected: Host not found",
    "554 5.7.1 <{}>: Relay access denied",
    "252 2.0.0 {}",
]
WORDS = st.sampled_from(
    ["<", ">", ";client=192.0.2.1:25", "x[192.0.2.1]", ": Client host rejected: ", "Access", " ", "a@b"]
)


@given(st.sampled_from(ECHOES), st.lists(WORDS, max_size=9))
def test_no_echo_tells_an_address(echo: str, words: list[str]) -> None:
    assert client_in_reply(echo.format("".join(words))) is None


@given(st.sampled_from([reply for reply, _ in TELLING]), st.integers(0, 90), st.text(max_size=5))
def test_a_broken_reply_gives_an_answer(reply: str, at: int, text: str) -> None:
    client_in_reply(reply[:at] + text + reply[at:])


LONG = ["5" * 1_000_000, "a " * 500_000, "<[" * 400_000, "\n" * 1_000_000, ";client=" * 100_000]


@pytest.mark.parametrize("text", LONG)
def test_long_replies_give_an_answer(text: str) -> None:
    client_in_reply(text)
    client_in_reply("503 5.5.1 Error: need RCPT command;client=" + text)
