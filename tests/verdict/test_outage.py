"""Verdicts over time become outages: when they begin, what they are called, how long they last."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probe.model import MaskedBy, Outage, Severity, Verdict
from probe.verdict.outage import step
from tests.builders import result, unable

LASTING = Outage(
    endpoint=result().session.endpoint,
    began=100.0,
    seen=130.0,
    first="first",
    verdicts=(Verdict.SILENT_DROP,),
    session="first",
)


def test_the_first_critical_session_begins_one() -> None:
    after = step(None, result(Verdict.MASKED, opened=100.0, masked_by=MaskedBy.NODE))
    assert after.ended is None
    assert after.lasting is not None
    assert (after.lasting.began, after.lasting.seen, after.lasting.ended) == (100.0, 100.0, None)
    assert after.lasting.verdicts == (Verdict.MASKED,)
    assert after.lasting.masked_by is MaskedBy.NODE
    assert after.lasting.seconds == 0.0


def test_another_critical_verdict_goes_on_with_it() -> None:
    after = step(LASTING, result(Verdict.REFUSED, opened=160.0))
    assert after.lasting is not None
    assert after.lasting.began == 100.0
    assert after.lasting.seconds == 60.0
    assert after.lasting.verdicts == (Verdict.SILENT_DROP, Verdict.REFUSED)
    assert after.lasting.verdict is Verdict.SILENT_DROP
    again = step(after.lasting, result(Verdict.SILENT_DROP, opened=190.0))
    assert again.lasting is not None
    assert again.lasting.verdicts == (Verdict.SILENT_DROP, Verdict.REFUSED)


@pytest.mark.parametrize("verdict", [verdict for verdict in Verdict if verdict.severity is not Severity.CRITICAL])
def test_whatever_is_not_critical_ends_it(verdict: Verdict) -> None:
    after = step(LASTING, result(verdict, opened=160.0))
    assert after.lasting is None
    assert after.ended is not None
    assert after.ended.ended == 160.0
    assert after.ended.seconds == 60.0


def test_a_session_that_was_opened_into_silence_shows_how_long_it_lasted() -> None:
    resent = result(Verdict.PRESERVED, opened=160.0, connected=163.1, closed=163.5)
    after = step(LASTING, resent)
    assert after.ended is not None
    assert after.ended.ended == 163.1


def test_without_an_outage_a_session_that_is_fine_does_nothing() -> None:
    assert step(None, result(Verdict.PRESERVED)) == step(None, result(Verdict.UNVERIFIED))


def test_a_session_asked_for_beside_the_schedule_may_be_recorded_late() -> None:
    """Results come in the order in which they are judged, which need not be that of their sessions."""
    after = step(LASTING, result(Verdict.PRESERVED, opened=120.0))
    assert after.ended is not None
    assert after.ended.ended == 130.0


LAPSE = 75.0


def test_a_time_in_which_nobody_looked_is_no_part_of_how_long_it_lasted() -> None:
    """Whether it goes on after it or not: the daemon was down from 130 to 600, and the fault may have ended at 131."""
    over = step(LASTING, result(Verdict.PRESERVED, opened=600.0), LAPSE).ended
    assert over is not None
    assert (over.began, over.seen, over.ended, over.unwatched, over.seconds) == (100.0, 130.0, 600.0, 470.0, 30.0)
    lasting = step(LASTING, result(Verdict.REFUSED, opened=600.0, id="new"), LAPSE).lasting
    assert lasting is not None
    assert (lasting.began, lasting.seen, lasting.unwatched, lasting.seconds) == (100.0, 600.0, 470.0, 30.0)
    assert (lasting.first, lasting.session) == ("first", "new")
    ended = step(lasting, result(Verdict.PRESERVED, opened=630.0), LAPSE).ended
    assert ended is not None
    assert (ended.unwatched, ended.seconds) == (470.0, 60.0)


def test_turns_that_are_missed_are_no_such_time() -> None:
    over = step(LASTING, result(Verdict.PRESERVED, opened=130.0 + LAPSE), LAPSE).ended
    assert over is not None
    assert (over.unwatched, over.seconds) == (0.0, 30.0 + LAPSE)


def test_a_session_that_could_not_be_opened_begins_renews_and_ends_none() -> None:
    assert step(None, unable(160.0)).lasting is step(None, unable(160.0)).ended is None
    after = step(LASTING, unable(160.0))
    assert (after.lasting, after.ended) == (LASTING, None)


def test_a_long_time_of_them_is_one_in_which_nobody_looked() -> None:
    outage: Outage | None = LASTING
    for opened in range(160, 600, 30):
        outage = step(outage, unable(float(opened)), LAPSE).lasting
    over = step(outage, result(Verdict.PRESERVED, opened=600.0), LAPSE).ended
    assert over is not None
    assert (over.seen, over.ended, over.unwatched, over.seconds) == (130.0, 600.0, 470.0, 30.0)


@settings(deadline=None)  # a loaded machine is no fault
@given(st.lists(st.sampled_from([*Verdict, None]), max_size=40))
def test_sessions_that_could_not_be_opened_change_no_outage(found: list[Verdict | None]) -> None:
    """Wherever they come: with them and without them the outages are the same, in all that is told of them."""
    told = []
    sessions = [
        unable(20.0 * turn) if verdict is None else result(verdict, opened=20.0 * turn, id=str(turn))
        for turn, verdict in enumerate(found)
    ]
    for held in (sessions, [one for one in sessions if one.session.took_place]):
        outage, ended = None, []
        for one in held:
            after = step(outage, one, LAPSE)
            outage = after.lasting
            ended += [after.ended] if after.ended else []
        told.append([*ended, outage])
    assert told[0] == told[1]


@settings(deadline=None)  # a loaded machine is no fault
@given(st.lists(st.sampled_from(list(Verdict)), max_size=40))
def test_outages_are_the_runs_of_critical_verdicts(verdicts: list[Verdict]) -> None:
    outage, ended = None, []
    for number, verdict in enumerate(verdicts):
        after = step(outage, result(verdict, opened=float(number)))
        outage = after.lasting
        ended += [after.ended] if after.ended else []
    critical = [verdict.severity is Severity.CRITICAL for verdict in verdicts]
    begins = [at for at in range(len(critical)) if critical[at] and (at == 0 or not critical[at - 1])]
    ends = [at for at in range(1, len(critical)) if critical[at - 1] and not critical[at]]
    assert [one.began for one in [*ended, *([outage] if outage else [])]] == begins
    assert [one.ended for one in ended] == ends
