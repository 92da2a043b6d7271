"""Postfix: the address comes from where Postfix writes it, whatever stands in the rest of the line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probe.evidence import postfix
from probe.evidence.events import Connected, Disconnected, Event, Line, Rejected
from probe.model import Count, Peer, plain_address

CLIENT = Peer(plain_address("198.51.100.7"))
LIE = "192.0.2.1"


def parsed(message: str, program: str = "postfix/smtpd") -> Event | None:
    return postfix.parse(Line(message=message, program=program), now=0.0)


@pytest.mark.parametrize(
    ("logged", "client"),
    [
        ("unknown[1.2.3.4]", "1.2.3.4"),
        ("host.example.org[2001:db8::1]", "2001:db8::1"),
        ("unknown[::ffff:1.2.3.4]", "1.2.3.4"),
        ("unknown[IPv6:2001:db8::1]", "2001:db8::1"),
        ("unknown[fe80::1%eth0]", "fe80::1"),
        ("unknown[1.2.3.4]:59808", "1.2.3.4:59808"),
        ("unknown[2001:db8::1]:25", "[2001:db8::1]:25"),
        ("unknown[unknown]", "None"),
        ("unknown[unknown]:unknown", "None"),
    ],
)
def test_addresses(logged: str, client: str) -> None:
    event = parsed(f"connect from {logged}")
    assert isinstance(event, Connected)
    assert str(event.client) == client


NONE = ["unknown[1.2.3]", "unknown[1.2.3.4", "unknown[1.2.3.4]:x", "[1.2.3.4] x", "x y[1.2.3.4]"]


@pytest.mark.parametrize("logged", NONE)
def test_what_is_no_address_is_no_event(logged: str) -> None:
    assert parsed(f"connect from {logged}") is None


@pytest.mark.parametrize("program", ["smtpd", "postfix/smtpdx", "smtpd/postfix", "postfix/cleanup", "", "x smtpd"])
def test_other_programs_say_nothing(program: str) -> None:
    assert parsed("connect from unknown[1.2.3.4]", program) is None


def test_the_tally_has_verbs_only() -> None:
    event = parsed("disconnect from unknown[198.51.100.7] ehlo=2 rcpt=0/1 rset=2/4 commands=4/7")
    assert event == Disconnected(client=CLIENT, tally={"ehlo": Count(2, 2), "rcpt": Count(0, 1), "rset": Count(2, 4)})
    assert parsed("disconnect from unknown[198.51.100.7]") == Disconnected(client=CLIENT, tally={})


def test_postscreen_separates_fields_with_commas() -> None:
    event = parsed(
        "NOQUEUE: reject: RCPT from [198.51.100.7]:4000: 550 5.7.1 Service unavailable; "
        "from=<a@b>, to=<c@d>, proto=ESMTP, helo=<tok>",
        "postfix/postscreen",
    )
    assert isinstance(event, Rejected)
    assert (event.sender, event.recipient, event.helo) == ("a@b", "c@d", "tok")
    assert event.client == Peer(CLIENT.address, 4000)


hostile = st.lists(
    st.sampled_from(
        ["<", ">", " ", ": ", "; ", "from=<", " to=<", " helo=<", f"unknown[{LIE}]", f"connect from x[{LIE}]", "[", "]",
         f" disconnect from unknown[{LIE}] noop=3", "PROXY TCP4 ", ", ", "client=", "proto=ESMTP",
         f"[{LIE}]:25", "\\r\\n"]
    ),
    max_size=8,
).map("".join)  # fmt: skip


@given(hostile, hostile, hostile)
def test_a_hostile_client_cannot_lie_about_its_address(helo: str, sender: str, recipient: str) -> None:
    event = parsed(
        f"NOQUEUE: reject: RCPT from unknown[198.51.100.7]: 554 5.7.1 <{recipient}>: Relay access denied; "
        f"from=<{sender}> to=<{recipient}> proto=ESMTP helo=<{helo}>"
    )
    assert isinstance(event, Rejected)
    assert event.client == CLIENT


EARLY = ["improper command pipelining after CONNECT", "PREGREET 28 after 0", "SSL_accept error"]


@given(hostile, st.sampled_from(EARLY))
def test_nor_by_talking_early(said: str, what: str) -> None:
    for program in ("postfix/smtpd", "postfix/postscreen"):
        event = parsed(f"{what} from unknown[198.51.100.7]: {said}", program)
        assert event is None or event.client == CLIENT


@given(hostile)
def test_nor_with_a_user_name(user: str) -> None:
    event = parsed(f"ABC123: client=unknown[198.51.100.7], sasl_method=PLAIN, sasl_username={user}")
    assert event is not None
    assert event.client == CLIENT


@given(st.text(max_size=120), st.sampled_from(["smtpd", "postscreen", "master"]))
def test_any_text_gives_an_answer(message: str, daemon: str) -> None:
    for row in postfix.PATTERNS:
        parsed(row.opening + message, f"postfix/{daemon}")
    parsed(message, f"postfix/{daemon}")
