"""The ledger keeps what became of every endpoint, bounded, and goes on where an earlier process stopped."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields, replace
from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probe.model import (
    AddressFamily,
    Change,
    Endpoint,
    ImprintKind,
    Login,
    Mailbox,
    MaskedBy,
    Outage,
    Pace,
    Phase,
    PhaseTiming,
    ProxyHeader,
    Result,
    Secret,
    Service,
    Timeouts,
    TlsOptions,
    Verdict,
)
from probe.service.ledger import DAY, MOST_OUTAGES, MOST_SESSIONS, Entry, Ledger, Restored, Room
from tests.builders import result, unable

SMTP = Endpoint(path="vip", service=Service.SMTP, host="10.0.20.202", port=25)
IMAPS = replace(SMTP, service=Service.IMAPS, port=993)


def test_a_verdict_is_known_with_the_moment_it_began() -> None:
    ledger = Ledger([SMTP])
    for opened in (100.0, 130.0):
        ledger.record(result(Verdict.PRESERVED, opened=opened))
    ledger.record(result(Verdict.MASKED, opened=160.0, id="bad", masked_by=MaskedBy.NODE))
    account = ledger.accounts[SMTP.name]
    assert [(change.at, change.verdict) for change in account.changes] == [
        (100.0, Verdict.PRESERVED),
        (160.0, Verdict.MASKED),
    ]
    assert account.change == Change(
        endpoint=SMTP.name, at=160.0, seen=160.0, verdict=Verdict.MASKED, session="bad", masked_by=MaskedBy.NODE
    )
    assert account.counts.sessions == {Verdict.PRESERVED: 2, Verdict.MASKED: 1}


def test_whoever_masks_is_part_of_what_changes() -> None:
    ledger = Ledger([SMTP])
    for opened, network in ((100.0, MaskedBy.NODE), (130.0, MaskedBy.PROXY)):
        ledger.record(result(Verdict.MASKED, opened=opened, masked_by=network))
    assert len(ledger.accounts[SMTP.name].changes) == 2


def test_listeners_hear_of_every_session_in_order() -> None:
    ledger, heard = Ledger([SMTP]), list[Entry]()
    ledger.listeners.append(heard.append)
    for opened, verdict in ((1.0, Verdict.REFUSED), (2.0, Verdict.REFUSED), (3.0, Verdict.PRESERVED)):
        ledger.record(result(verdict, opened=opened))
    assert [(bool(entry.change), bool(entry.began), bool(entry.ended)) for entry in heard] == [
        (True, True, False),
        (False, False, False),
        (True, False, True),
    ]


def test_seconds_of_outage_never_go_back_and_end_with_the_outage() -> None:
    account = Ledger([SMTP]).accounts[SMTP.name]
    seen = []
    for opened, verdict in ((10.0, "refused"), (40.0, "refused"), (70.0, "preserved"), (100.0, "masked")):
        account.record(result(Verdict(verdict), opened=opened))
        seen.append(account.counts.seconds_of_outage)
    assert seen == [0.0, 30.0, 60.0, 60.0]


def test_a_restart_ends_no_outage_and_counts_its_seconds_once() -> None:
    first = Ledger([SMTP])
    first.record(result(Verdict.SILENT_DROP, opened=10.0))
    first.record(result(Verdict.SILENT_DROP, opened=40.0))
    before = first.accounts[SMTP.name]
    assert before.outage is not None
    again = Ledger([SMTP, IMAPS], Restored(changes=tuple(before.changes), lasting=(before.outage,)))
    account = again.accounts[SMTP.name]
    assert account.outage == before.outage
    assert account.change == before.change
    assert again.accounts[IMAPS.name].outage is None
    assert account.counts.seconds_of_outage == 0.0
    entry = again.record(result(Verdict.SILENT_DROP, opened=100.0))
    assert entry is not None
    assert entry.began is None
    assert account.counts.seconds_of_outage == 60.0
    entry = again.record(result(Verdict.PRESERVED, opened=130.0))
    assert entry is not None
    assert entry.ended is not None
    assert entry.ended.seconds == 120.0
    assert before.counts.seconds_of_outage + account.counts.seconds_of_outage == 120.0


def test_the_same_verdict_after_a_time_in_which_nobody_looked_is_a_change() -> None:
    account = Ledger([replace(SMTP, pace=Pace(due=75.0, lapse=135.0))]).accounts[SMTP.name]
    for opened in (100.0, 235.0, 371.0, 400.0):
        account.record(result(Verdict.PRESERVED, opened=opened, id=f"{opened:.0f}"))
    assert [(change.at, change.seen, change.session) for change in account.changes] == [
        (100.0, 235.0, "100"),
        (371.0, 400.0, "371"),
    ]


def test_seconds_of_outage_leave_out_what_nobody_saw() -> None:
    account = Ledger([replace(SMTP, pace=Pace(due=75.0, lapse=135.0))]).accounts[SMTP.name]
    for opened in (100.0, 130.0, 1000.0, 1030.0):
        account.record(result(Verdict.REFUSED, opened=opened))
    assert account.counts.seconds_of_outage == 60.0
    assert account.outage is not None
    assert account.outage.unwatched == 870.0


def test_only_an_outage_of_just_before_is_told_without_a_session() -> None:
    endpoint = replace(SMTP, pace=Pace(due=75.0, lapse=135.0))
    for verdict, until in ((Verdict.PRESERVED, 0.0), (Verdict.UNVERIFIED, 0.0), (Verdict.MASKED, 75.0)):
        earlier = Ledger([endpoint])
        earlier.record(result(verdict, opened=100.0))
        account = Ledger([endpoint], earlier.known).accounts[SMTP.name]
        assert account.change == earlier.accounts[SMTP.name].change
        assert (account.told(100.0 + until) is not None) is bool(until)
        assert account.told(100.1 + until) is None
        account.record(result(Verdict.PRESERVED, opened=120.0))
        assert account.told(9e9) == account.change


@pytest.mark.parametrize("heard_of", ["at the start", "late"])
def test_of_more_outages_than_are_kept_a_restart_forgets_the_oldest(heard_of: str) -> None:
    """Heard of late, when a session was recorded already, full books keep no outage from its end, or from going on."""
    before, ended = Ledger([SMTP, IMAPS]), list[Outage]()
    before.listeners.append(lambda entry: ended.extend(filter(None, [entry.ended])))
    for number in range(2 * (MOST_OUTAGES + 50) + 1):
        for one in (SMTP, IMAPS):
            verdict = (Verdict.REFUSED, Verdict.PRESERVED)[number % 2]
            before.record(result(verdict, opened=30.0 * number, id=f"{number}", service=one.service, port=one.port))
    known = replace(before.known, ended=tuple(ended))
    late = heard_of == "late"
    after = Ledger([SMTP, IMAPS], None if late else known)
    if late:
        after.record(result(Verdict.PRESERVED, opened=1e5, id="over"))
        after.take_up(known)
    smtp, imaps = after.accounts.values()
    assert [one.first for one in imaps.outages] == [f"{number}" for number in range(100, 300, 2)]
    assert imaps.outage == before.accounts[IMAPS.name].outage
    assert [one.first for one in smtp.outages] == [f"{number + 2 * late}" for number in range(100, 300, 2)]
    assert (smtp.outage is None) is late


def test_a_session_that_could_not_be_opened_has_its_verdict_and_leaves_the_outage_as_it_was() -> None:
    endpoint = replace(SMTP, pace=Pace(due=75.0, lapse=135.0))
    ledger = Ledger([endpoint])
    account = ledger.accounts[SMTP.name]
    for opened in (100.0, 130.0):
        ledger.record(result(Verdict.REFUSED, opened=opened))
    before, entry = account.outage, ledger.record(unable(160.0))
    assert entry is not None
    assert (entry.began, entry.ended, entry.lasting) == (None, None, before)
    assert entry.stands.verdict is Verdict.UNVERIFIED
    assert account.told(160.0) == account.change == entry.change
    again = Ledger([endpoint], ledger.known).accounts[SMTP.name]
    assert again.outage == before
    assert again.told(161.0) is None  # an outage that was, and a verdict that only a session can find again
    again.record(unable(190.0))
    again.record(result(Verdict.REFUSED, opened=220.0))
    assert again.counts.seconds_of_outage == 90.0  # since the last session that the process before had counted to
    again.record(result(Verdict.PRESERVED, opened=250.0))
    assert again.counts.seconds_of_outage == 120.0


LOOKS = (Verdict.PRESERVED, Verdict.MASKED, Verdict.REFUSED, Verdict.UNVERIFIED, Verdict.SERVICE_ERROR, None)


@settings(deadline=None)  # a loaded machine is no fault
@given(
    st.lists(st.tuples(st.sampled_from([30.0, 31.0, 90.0, 500.0]), st.sampled_from(LOOKS)), max_size=14),
    st.tuples(st.integers(0, 14), st.integers(0, 14)),
)
def test_sessions_that_could_not_be_opened_move_no_outage_whoever_saw_them(
    turns: list[tuple[float, Verdict | None]], at: tuple[int, int]
) -> None:
    """Nor does a restart amid them, whether what was before is known at its start or only after some sessions.

    And of both processes together every second of an outage is counted, and counted once.
    """
    endpoint, now, sessions = replace(SMTP, pace=Pace(due=78.0, lapse=138.0)), 1000.0, list[Result]()
    for seconds, verdict in turns:
        now += seconds
        sessions.append(result(verdict, opened=now, id=f"{now}") if verdict else unable(now))
    whole, earlier, later = Ledger([endpoint]), Ledger([endpoint]), Ledger([endpoint])
    recorded(whole, (one for one in sessions if one.session.took_place))
    restart, found = sorted(at)
    recorded(earlier, sessions[:restart])
    recorded(later, sessions[restart:found])
    ended = tuple(earlier.accounts[SMTP.name].outages)
    later.take_up(replace(earlier.known, ended=ended))
    recorded(later, sessions[found:])
    assert outages_of(later) == outages_of(whole)
    of_whole, *of_both = (ledger.accounts[SMTP.name].counts.seconds_of_outage for ledger in (whole, earlier, later))
    assert sum(of_both) == of_whole == sum(outage.seconds for outage in outages_of(whole))


def recorded(ledger: Ledger, sessions: Iterable[Result]) -> None:
    for one in sessions:
        ledger.record(one)


def outages_of(ledger: Ledger) -> list[Outage]:
    """All of them, the one that lasts at the end."""
    account = ledger.accounts[SMTP.name]
    return [*account.outages, *([account.outage] if account.outage else [])]


def test_an_endpoint_that_comes_back_is_not_what_it_was_at_the_start() -> None:
    first = Ledger([SMTP])
    first.record(result(Verdict.REFUSED, opened=10.0))
    lasting = first.accounts[SMTP.name].outage
    assert lasting is not None
    ledger = Ledger([SMTP], Restored(lasting=(lasting,)))
    ledger.record(result(Verdict.PRESERVED, opened=40.0))
    ledger.configure([IMAPS])
    ledger.configure([SMTP])
    assert ledger.accounts[SMTP.name].outage is None


def test_failures_are_kept_longer_than_successes_and_all_are_bounded() -> None:
    ledger = Ledger([SMTP])
    for number in range(400):
        verdict = Verdict.REFUSED if number < 50 else Verdict.PRESERVED
        ledger.record(result(verdict, opened=float(number), id=str(number)))
    kept = list(ledger.accounts[SMTP.name].sessions())
    assert [one.session.id for one in kept] == [str(n) for n in (*range(399, 379, -1), *range(49, -1, -1))]
    assert ledger.session("7") is not None
    assert ledger.session("200") is None
    many = [replace(SMTP, path=str(number)) for number in range(2000)]
    room = next(iter(Ledger(many).accounts.values())).room
    assert (room.successes + room.failures) * len(many) <= MOST_SESSIONS
    assert Room.among(100_000) == Room(successes=1, failures=2)


def test_changes_older_than_a_day_go_but_for_the_one_the_day_began_with() -> None:
    ledger = Ledger([SMTP])
    for opened, verdict in ((0.0, "refused"), (10.0, "preserved"), (DAY + 20.0, "masked")):
        ledger.record(result(Verdict(verdict), opened=opened))
    assert [change.at for change in ledger.accounts[SMTP.name].changes] == [10.0, DAY + 20.0]


def test_an_endpoint_that_leaves_takes_its_books_along() -> None:
    ledger = Ledger([SMTP, IMAPS])
    ledger.record(result(Verdict.REFUSED))
    ledger.configure([IMAPS])
    assert list(ledger.accounts) == [IMAPS.name]
    assert ledger.record(result(Verdict.REFUSED)) is None
    ledger.configure([SMTP, IMAPS])
    assert ledger.accounts[SMTP.name].latest is None


def test_books_go_on_over_a_configuration_that_is_read_again() -> None:
    """How often an endpoint is looked at, and for how long, is no part of what a verdict says of it."""
    ledger = Ledger([SMTP])
    ledger.record(result(Verdict.REFUSED))
    ledger.configure([IMAPS, replace(SMTP, pace=Pace(due=75.0), timeouts=Timeouts(session=10.0))], now=200.0)
    account = ledger.accounts[SMTP.name]
    assert account.outage is not None
    assert account.told(9e9) == account.change is not None
    assert account.pace == Pace(due=75.0)
    assert list(ledger.accounts) == [IMAPS.name, SMTP.name]


READER = Mailbox(recipient="probe@example.org", sender="", reader=IMAPS)

OTHERS: dict[str, Any] = {
    "host": "10.0.20.203",
    "family": AddressFamily.IPV4,
    "source_address": ip_address("192.168.1.11"),
    "proxy_header": ProxyHeader.V2,
    "tls": TlsOptions(verify=False),
    "login": Login(username="probe@example.org", password=Secret("another")),
    "imprint": ImprintKind.REJECT,
    "mailbox": replace(READER, reader=replace(IMAPS, host="10.0.20.203")),
    "expected": (ip_network("192.168.1.0/24"),),
}


def test_only_how_often_and_how_long_is_no_part_of_what_an_endpoint_is() -> None:
    named = {"path", "service", "port"}  # of another name it has other books
    of_one_session = {"claim", "at"}
    assert {field.name for field in fields(Endpoint)} - named - of_one_session - set(OTHERS) == {"timeouts", "pace"}


@pytest.mark.parametrize("changed", OTHERS)
def test_of_an_endpoint_that_is_configured_differently_the_books_tell_what_was(changed: str) -> None:
    """A verdict on one host is none on another, nor does an outage go over; nothing of its books is lost."""
    login = Login(username="probe@example.org", password=Secret("one"))
    one = replace(SMTP, login=login, mailbox=READER, pace=Pace(due=75.0, lapse=135.0))
    for verdict in (Verdict.PRESERVED, Verdict.UNVERIFIED, Verdict.MASKED):
        ledger = Ledger([one])
        ledger.record(result(verdict, opened=100.0))
        account = ledger.accounts[one.name]
        before = account.change
        ledger.configure([replace(one, **{changed: OTHERS[changed]})], now=101.0)
        assert ledger.accounts[one.name] is account
        assert (account.change, account.latest, account.since) == (before, None, 101.0)
        assert account.counts.sessions == {verdict: 1}
        assert account.told(101.0) is None
        assert ledger.lasting == {one.name: None}
        assert [(outage.began, outage.ended) for outage in account.outages] == [(100.0, 100.0)] * len(account.outages)
        entry = account.record(result(verdict, opened=102.0))
        assert account.told(9e9) == account.change == entry.change
        assert account.change is not None
        assert account.change.at == 102.0
        assert (entry.began is not None) is bool(account.outages) is (verdict is Verdict.MASKED)


def test_an_outage_that_is_heard_of_late_goes_over_to_no_endpoint_that_is_configured_differently() -> None:
    before = Ledger([SMTP])
    before.record(result(Verdict.REFUSED, opened=90.0))
    for opened in ((), (105.0,)):
        ledger = Ledger([SMTP])
        ledger.configure([replace(SMTP, host="10.0.20.203")], now=101.0)
        for at in opened:
            ledger.record(result(Verdict.REFUSED, opened=at, id="another"))
        known = ledger.take_up(before.known)
        assert [(outage.began, outage.ended) for outage in known.ended] == [(90.0, 90.0)]
        assert [outage.began for outage in known.lasting] == list(opened)
        assert [change.at for change in known.changes] == [90.0, *opened]


def test_phases_are_counted_by_how_long_they_took_with_an_example() -> None:
    ledger = Ledger([SMTP])
    phases = (PhaseTiming(phase=Phase.CONNECT, seconds=0.002), PhaseTiming(phase=Phase.GREETING, seconds=70.0))
    ledger.record(result(phases=phases, id="slow"))
    account = ledger.accounts[SMTP.name]
    connect, greeting = account.counts.phases[Phase.CONNECT], account.counts.phases[Phase.GREETING]
    assert connect.counts[connect.bounds.index(0.0025)] == 1
    assert greeting.counts[-1] == 1
    example = greeting.examples[-1]
    assert example is not None
    assert (example.session, example.seconds) == ("slow", 70.0)
    assert sum(account.counts.durations.counts) == 1
