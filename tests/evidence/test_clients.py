"""All clients of a log: each counted once, whatever the order of the lines, in bounded memory."""

from __future__ import annotations

import random
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probe.evidence.clients import (
    MOST_LISTENERS,
    MOST_USERS,
    ClientCounter,
    by_network,
)
from probe.evidence.read import events
from probe.evidence.whose import Names
from probe.model import Clients, FaultSign, Headcount, Listener, MaskedBy, Networks, Whose, in_all
from tests.evidence.expectations import NOW, samples

NAMES = Names(
    networks=Networks(nodes=(ip_network("10.0.20.101"), ip_network("10.0.20.102")), pods=(ip_network("10.10.0.0/16"),)),
    vantage=(ip_network("192.168.1.10"),),
)
HEAD = "Nov 22 18:29:06 mail "


def counted(*lines: str, names: Names = NAMES, most: int = 1000) -> Clients:
    counter = ClientCounter(names.whose, most_addresses=most)
    counter.take(events("\n".join(lines).encode(), now=NOW))
    return counter.clients()


def came(address: str, program: str = "postfix/smtpd") -> str:
    if program.endswith("postscreen"):
        return f"{HEAD}{program}[1]: CONNECT from [{address}]:4711 to [10.10.1.5]:25"
    return f"{HEAD}{program}[1]: connect from unknown[{address}]"


def left(address: str, tally: str = "ehlo=1 mail=1 commands=2", program: str = "postfix/smtpd") -> str:
    return f"{HEAD}{program}[1]: disconnect from unknown[{address}] {tally}"


def login(address: str, user: str, reason: str = "Login") -> str:
    return f"{HEAD}dovecot: imap-login: {reason}: user=<{user}>, method=PLAIN, rip={address}, lip=10.10.1.5, TLS"


def only(clients: Clients) -> Listener:
    (listener,) = clients.listeners
    return listener


class TestWhatCounts:
    def test_a_connection_is_told_by_two_lines_and_counted_once(self) -> None:
        listener = only(counted(came("198.51.100.7"), left("198.51.100.7")))
        assert listener.by == {Whose.PUBLIC: Headcount(clients=1, spoke=1, began=1)}

    @pytest.mark.parametrize("lines", [[came("198.51.100.7")] * 3, [left("198.51.100.7")] * 3])
    def test_either_line_may_be_lost(self, lines: list[str]) -> None:
        assert only(counted(*lines)).clients == 3

    @pytest.mark.parametrize(
        ("tally", "spoke", "began"),
        [("commands=0/0", 0, 0), ("ehlo=1 quit=1 commands=2", 1, 0), ("ehlo=1 auth=0/1 commands=1/2", 1, 1)],
    )
    def test_what_a_client_did(self, tally: str, spoke: int, began: int) -> None:
        count = only(counted(left("198.51.100.7", tally))).by[Whose.PUBLIC]
        assert (count.clients, count.spoke, count.began) == (1, spoke, began)

    def test_a_message_tells_that_a_client_did_something_where_its_tally_is_lost(self) -> None:
        accepted = f"{HEAD}postfix/smtpd[1]: 4BD2B16617A: client=unknown[198.51.100.7]"
        assert only(counted(came("198.51.100.7"), accepted, accepted)).by[Whose.PUBLIC].began == 1
        assert only(counted(accepted)).clients == 1

    def test_a_login_is_one_line(self) -> None:
        gave_up = login("198.51.100.7", "", "Disconnected: Connection closed (no auth attempts in 0 secs)")
        guessed = login("198.51.100.7", "x", "Disconnected: Connection closed (auth failed, 2 attempts in 9 secs)")
        listener = only(counted(login("198.51.100.7", "ann"), gave_up, guessed))
        assert (listener.name, listener.by) == (
            "imap-login",
            {Whose.PUBLIC: Headcount(clients=3, spoke=2, began=2)},
        )

    def test_users_behind_an_inside_address_are_counted_up_to_some(self) -> None:
        lines = [login("10.0.20.102", f"user{number}") for number in range(50)] * 2
        (caller,) = only(counted(*lines)).callers
        assert (caller.users, caller.whose, caller.count.clients) == (MOST_USERS, Whose.NODE, 100)
        assert caller.first == lines[0]

    def test_strangers_leave_neither_line_nor_name(self) -> None:
        (caller,) = only(counted(login("198.51.100.7", "ann"))).callers
        assert (caller.users, caller.first) == (0, None)

    def test_a_client_that_was_gone_has_no_address(self) -> None:
        listener = only(counted(f"{HEAD}postfix/smtpd[1]: connect from unknown[unknown]"))
        assert (listener.nameless, listener.clients) == (1, 0)

    def test_an_ipv6_address_is_not_the_ipv4_address_of_the_same_number(self) -> None:
        assert counted(came("::7f00:1"), came("127.0.0.1")).addresses == 2

    def test_a_failed_handshake_is_a_client_of_dovecot_s(self) -> None:
        reason = "Disconnected: Connection closed: SSL_accept() failed: error:0A00010B (no auth attempts in 0 secs)"
        clients = counted(login("198.51.100.7", "", reason))
        assert only(clients).clients == 1
        assert [trouble.sign for trouble in clients.troubles] == [FaultSign.TLS_HANDSHAKE]


class TestBehindPostscreen:
    def test_who_is_handed_on_counts_once(self) -> None:
        lines = [came("198.51.100.7", "postfix/postscreen"), came("198.51.100.7"), left("198.51.100.7")]
        clients = counted(*lines, came("198.51.100.8", "postfix/postscreen"))
        assert in_all(clients.listeners)[Whose.PUBLIC] == Headcount(clients=2, spoke=1, began=1)
        assert [(one.name, one.behind) for one in clients.listeners] == [
            ("postfix/postscreen", False),
            ("postfix/smtpd", True),
        ]

    def test_several_postscreens_share_one_smtpd(self) -> None:
        screens = [came("198.51.100.7", "postfix/postscreen"), came("198.51.100.8", "postfix/smtpd-proxy25/postscreen")]
        clients = counted(*screens, came("198.51.100.7"), came("198.51.100.8"))
        assert in_all(clients.listeners)[Whose.PUBLIC].clients == 2

    def test_other_ports_have_nothing_to_do_with_it(self) -> None:
        clients = counted(came("198.51.100.7", "postfix/postscreen"), came("198.51.100.7", "postfix/submission/smtpd"))
        assert in_all(clients.listeners)[Whose.PUBLIC].clients == 2

    def test_where_the_lines_of_postscreen_are_lost_those_of_smtpd_count(self) -> None:
        clients = counted(came("198.51.100.7", "postfix/postscreen"), *[came("198.51.100.7")] * 5)
        assert in_all(clients.listeners)[Whose.PUBLIC].clients == 5


class TestFaults:
    def test_lines_of_one_fault_are_counted_with_the_first_of_them(self) -> None:
        said = "Connection rate limit exceeded: 3 from unknown[10.0.20.102] for service 25"
        line = f"{HEAD}postfix/smtpd[1]: warning: {said}"
        (trouble,) = counted(line, line).troubles
        assert (trouble.sign, trouble.whose, trouble.count) == (FaultSign.RATE_LIMITED, Whose.NODE, 2)
        assert (trouble.first, trouble.addresses) == (line, (ip_address("10.0.20.102"),))

    def test_a_fault_is_no_client(self) -> None:
        assert counted(f"{HEAD}imap-login: Error: haproxy: Client timed out (rip=192.168.1.10)").listeners == ()


class TestByNetwork:
    def test_every_label_is_there_from_the_start(self) -> None:
        assert by_network(Clients()) == dict.fromkeys(MaskedBy, 0)

    def test_what_is_not_named_is_other(self) -> None:
        addresses = ("10.0.20.101", "10.10.7.7", "10.0.0.1", "192.168.1.10", "127.0.0.1", "198.51.100.7")
        counts = by_network(counted(*map(came, addresses)))
        assert counts == {
            MaskedBy.NODE: 1,
            MaskedBy.POD: 1,
            MaskedBy.OTHER: 4,
            MaskedBy.GATEWAY: 0,
            MaskedBy.PROXY: 0,
        }


ADDRESSES = ["10.0.20.101", "10.10.1.1", "192.168.7.7", "127.0.0.1", "198.51.100.7", "2001:db8::1", "fd00::1"]
PROGRAMS = ["postfix/smtpd", "postfix/submission/smtpd", "postfix/postscreen", "mx/smtpd"]
LINES = st.one_of(
    st.builds(came, st.sampled_from(ADDRESSES), st.sampled_from(PROGRAMS)),
    st.builds(left, st.sampled_from(ADDRESSES), st.sampled_from(["commands=0/0", "ehlo=1 mail=1 commands=2"])),
    st.builds(login, st.sampled_from(ADDRESSES), st.sampled_from(["ann", "bob"])),
)


def without_firsts(clients: Clients) -> object:
    return [
        (one.name, one.by, one.nameless, one.behind, sorted((str(c.address), c.count, c.users) for c in one.callers))
        for one in clients.listeners
    ]


@given(st.lists(LINES, max_size=30), st.randoms(use_true_random=False))
def test_the_order_of_the_lines_does_not_matter(lines: list[str], chance: random.Random) -> None:
    shuffled = list(lines)
    chance.shuffle(shuffled)
    assert without_firsts(counted(*lines)) == without_firsts(counted(*shuffled))


@given(st.lists(LINES, max_size=30))
def test_the_sum_by_network_is_all_clients(lines: list[str]) -> None:
    clients = counted(*lines)
    for listener in clients.listeners:
        assert listener.clients == sum(caller.count.clients for caller in listener.callers)
    total = in_all(clients.listeners)
    assert sum(by_network(clients).values()) == sum(count.clients for count in total.values())
    assert all(count.began <= count.spoke <= count.clients for count in total.values())


@given(st.lists(LINES, max_size=40), st.integers(2, 5))
def test_a_count_never_falls_and_forgetting_loses_no_client(lines: list[str], most: int) -> None:
    counter = ClientCounter(NAMES.whose, most_addresses=most)
    before = by_network(counter.clients())
    for line in lines:
        counter.take(events(line.encode(), now=NOW))
        now = by_network(counter.clients())
        assert all(now[network] >= before[network] for network in MaskedBy)
        before = now
    clients = counter.clients()
    assert sum(len(listener.callers) for listener in clients.listeners) <= most
    exact = counted(*lines)
    assert sum(one.clients for one in clients.listeners) >= sum(one.clients for one in exact.listeners)


def test_those_with_most_clients_are_kept() -> None:
    flood = [came(f"198.51.{number // 250}.{number % 250 + 1}") for number in range(500)]
    clients = counted(*flood[:50], *[came("10.0.20.102")] * 40, *flood[50:], most=20)
    assert clients.forgotten > 0
    assert only(clients).callers[0].count.clients == 40
    assert only(clients).by == {
        Whose.NODE: Headcount(clients=40),
        Whose.PUBLIC: Headcount(clients=500),
    }


def test_listeners_are_bounded() -> None:
    clients = counted(*(came("198.51.100.7", f"postfix/s{number}/smtpd") for number in range(3 * MOST_LISTENERS)))
    assert len(clients.listeners) == MOST_LISTENERS + 1
    assert sum(listener.clients for listener in clients.listeners) == 3 * MOST_LISTENERS


RAW = [sample.raw for sample in samples()]
TAIL = b"postfix/smtpd[11186]: connect from unknown[192.168.1.10]"
PLAIN = b"\n".join(raw for raw in RAW if raw.startswith(b"Nov"))
mutated = st.builds(
    lambda raw, at, cut, put: raw[:at] + put + raw[at + cut :],
    st.sampled_from([*RAW, b"Nov 22 18:29:06 mail " + TAIL, b"2026-11-22T18:29:06.123456+00:00 mail " + TAIL]),
    st.integers(0, 90),
    st.integers(0, 20),
    st.one_of(
        st.binary(max_size=8),
        st.sampled_from(RAW),
        st.sampled_from([b"<", b"{", b": ", b"smtpd", b"[1]: ", b"dovecot: ", b" postfix/smtpd[1]: ", b"x/smtpd: "]),
    ),
)


@given(st.one_of(st.sampled_from(RAW), mutated))
def test_the_short_way_to_the_listener_is_the_long_one(raw: bytes) -> None:
    for found in [*events(PLAIN, now=NOW), *events(raw, now=NOW)]:
        assert found.program == found.line.program
