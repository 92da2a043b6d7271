"""What the count of logins says, row by row, and where it must say nothing."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest

from probe.model import Failure, Logins, Networks, Phase, PhaseTiming, Service, Session, Surroundings, Verdict
from probe.verdict.case import Case
from probe.verdict.cause import cause
from probe.verdict.judge import judge
from probe.verdict.logins import remark
from tests.builders import NODE, OURS, failed, imaps_session, smtp_session
from tests.verdict.test_judge import seen

PHASES = tuple(
    PhaseTiming(phase=phase, seconds=0.1)
    for phase in (Phase.RESOLVE, Phase.CONNECT, Phase.TLS, Phase.LOGIN, Phase.QUIT)
)
FINE = imaps_session(phases=PHASES)
"""Opened at 100 s; the login began at 100.3 s."""

DROPPED = imaps_session(fault=failed(Phase.CONNECT, Failure.TIMED_OUT))
STILL = Logins(where="pod:9166", count=500, grown=0, own=1, since=100.2, until=105.2)
MOVED = Logins(where="pod:9166", count=500, grown=3, own=0, since=100.2, until=105.2)


def why(session: Session, logins: Logins | None, evidence: object = None) -> str | None:
    found = seen(OURS.address) if evidence is None else seen()
    return cause(session, judge(session, found, Networks()), Surroundings(logins=logins))


def told(session: Session, logins: Logins | None) -> str | None:
    return remark(Case(session, judge(session, seen(), Networks()), Surroundings(logins=logins)))


def test_a_login_that_was_not_counted_went_elsewhere() -> None:
    sentence = "Another server answers on 10.0.20.202: our login worked there, and the Dovecot that counts at pod:9166"
    for session in (FINE, replace(FINE, expected=())):
        assert sentence in (why(session, STILL) or "")
    assert sentence in (why(FINE, STILL, "none") or "")
    assert told(FINE, STILL) == "Dovecot at pod:9166 counted no login in these 5.0 s."


@pytest.mark.parametrize(
    ("session", "logins"),
    [
        # nothing is known, or it was counted
        (FINE, None),
        (FINE, replace(STILL, grown=1)),
        # our login may have been counted before the first scrape was there
        (FINE, replace(STILL, since=100.31)),
        # the counter may not count at all
        (FINE, replace(STILL, count=0)),
        # no login of ours, or none that Dovecot must have seen
        (replace(FINE, phases=PHASES[:3]), STILL),
        (replace(FINE, service=Service.SUBMISSION), STILL),
        (replace(FINE, imprint=replace(FINE.imprint, user="whoami-probe")), STILL),
        (replace(FINE, fault=failed(Phase.LOGIN, Failure.BAD_CREDENTIALS)), STILL),
        (replace(FINE, fault=failed(Phase.LOGIN, Failure.TIMED_OUT)), STILL),
        (smtp_session(), STILL),
        # somebody gets in where we are fine: nothing to explain
        (FINE, MOVED),
        (smtp_session(), MOVED),
    ],
)
def test_no_conclusion_where_none_follows(session: Session, logins: Logins | None) -> None:
    assert why(session, logins) is None
    assert told(session, logins) is None


@pytest.mark.parametrize(
    ("failure", "verdict"),
    [
        (Failure.TIMED_OUT, Verdict.SILENT_DROP),
        (Failure.UNREACHABLE, Verdict.UNANNOUNCED),
        (Failure.REFUSED, Verdict.REFUSED),
    ],
)
def test_others_get_in_while_we_are_dropped(failure: Failure, verdict: Verdict) -> None:
    session = imaps_session(fault=failed(Phase.CONNECT, failure))
    assert judge(session, seen(), Networks()).verdict is verdict
    assert why(session, MOVED) == "Others get in, so the fault is on our path."
    assert told(session, MOVED) == "Dovecot at pod:9166 counted 3 logins in these 5.0 s."


def test_logins_do_not_prove_that_another_service_s_port_works() -> None:
    session = smtp_session(fault=failed(Phase.CONNECT, Failure.TIMED_OUT))
    assert (why(session, MOVED) or "").endswith("the fault is on our path, or at port 25 alone.")


def test_logins_of_ours_are_not_others() -> None:
    assert why(DROPPED, replace(MOVED, own=3)) is None
    assert told(DROPPED, replace(MOVED, own=3)) is None
    assert "3 logins (at most 2 of them ours) in these" in (told(DROPPED, replace(MOVED, own=2)) or "")
    assert why(DROPPED, replace(MOVED, own=2)) == "Others get in, so the fault is on our path."


def test_nobody_gets_in() -> None:
    usual = why(DROPPED, replace(STILL, usual=12.3))
    assert usual == "Nobody gets in: about 12 logins are usual in these 5.0 s, and there was none."
    for seldom in (None, 0.2, 4.9):
        assert "Nobody was seen to get in" in (why(DROPPED, replace(STILL, usual=seldom)) or "")
    assert why(DROPPED, replace(STILL, count=0, usual=12)) is None


def test_a_fault_after_the_way_in_is_none_of_its_business() -> None:
    for fault in (failed(Phase.TLS, Failure.CERTIFICATE_INVALID), failed(Phase.LOGIN, Failure.BAD_CREDENTIALS)):
        for logins in (STILL, MOVED):
            assert why(imaps_session(fault=fault), logins) is None


def test_it_proves_no_address_and_changes_no_verdict() -> None:
    masked = judge(FINE, seen(NODE), Networks())
    before = replace(masked)
    assert cause(FINE, masked, Surroundings(logins=STILL))
    assert masked == before
    assert masked.verdict is Verdict.MASKED
    assert str(ip_address("10.0.20.102")) in masked.explanation
