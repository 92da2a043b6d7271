"""What control connections have told of an outage is told of the sessions that fail alike, and of no others."""

from __future__ import annotations

from probe.model import Control, ControlKind, EndpointName, Failure, Phase, Result, Session, Verdict
from probe.service.vigil.told import Told
from tests.builders import failed, result

CLOSED = failed(Phase.FIRST_BYTE, Failure.CLOSED)
HEADER_HELPED = (Control(kind=ControlKind.LOCAL_HEADER, worked=True, seconds=0.1),)
NOTHING_HELPED = (Control(kind=ControlKind.LOCAL_HEADER, worked=False, seconds=0.1),)


def first(verdict: Verdict, *controls: Control) -> Result:
    """A session that was closed, with its control connections."""
    return result(verdict, fault=CLOSED, controls=controls)


def judged(*results: Result) -> list[Verdict]:
    told = Told({})
    return [told.judged(one).judgement.verdict for one in results]


ALIKE = result(Verdict.NO_GREETING, fault=CLOSED)
TIMEOUT = Verdict.PROXY_HEADER_TIMEOUT


def test_who_fails_alike_is_judged_alike_until_somebody_is_served() -> None:
    verdicts = judged(first(TIMEOUT, *HEADER_HELPED), ALIKE, ALIKE, result(), ALIKE)
    assert verdicts == [TIMEOUT, TIMEOUT, TIMEOUT, Verdict.PRESERVED, Verdict.NO_GREETING]


def test_who_fails_otherwise_is_judged_by_itself() -> None:
    dropped = result(Verdict.SILENT_DROP, connected=None, fault=failed(Phase.CONNECT, Failure.TIMED_OUT))
    assert judged(first(TIMEOUT, *HEADER_HELPED), dropped, ALIKE)[1:] == [Verdict.SILENT_DROP, Verdict.NO_GREETING]
    again = first(Verdict.NO_GREETING, *NOTHING_HELPED)
    assert judged(first(TIMEOUT, *HEADER_HELPED), again, ALIKE)[1:] == [Verdict.NO_GREETING] * 2


def test_what_the_log_told_of_it_is_more_exact() -> None:
    signed = result(Verdict.PROXY_HEADER_UNTRUSTED, fault=CLOSED)
    assert judged(first(Verdict.NO_GREETING, *NOTHING_HELPED), signed)[1] is Verdict.PROXY_HEADER_UNTRUSTED


def test_an_address_is_no_other_session_s() -> None:
    """It failed, and its line named a node; one that fails alike later has no line."""
    assert judged(first(Verdict.MASKED, *NOTHING_HELPED), ALIKE) == [Verdict.MASKED, Verdict.NO_GREETING]


def test_a_warning_hides_no_outage() -> None:
    """Its control connections were turned away themselves; those of the next session find that a header is wanted."""
    sessions: dict[EndpointName, Session] = {}
    told = Told(sessions)
    assert told.judged(first(Verdict.SERVICE_ERROR, *NOTHING_HELPED)).judgement.verdict is Verdict.SERVICE_ERROR
    assert sessions == {}
    assert told.judged(first(TIMEOUT, *HEADER_HELPED)).judgement.verdict is TIMEOUT


def test_what_became_of_the_way_meanwhile_is_told_of_that_session_alone() -> None:
    """Its control connection met a server that had just gone: one that fails alike later opens its own."""
    sessions: dict[EndpointName, Session] = {}
    gone = first(Verdict.REFUSED, Control(kind=ControlKind.LOCAL_HEADER, worked=False, seconds=0.1))
    Told(sessions).judged(gone)
    assert sessions == {}
    vanished = result(Verdict.NO_GREETING, fault=failed(Phase.FIRST_BYTE, Failure.VANISHED), controls=NOTHING_HELPED)
    Told(sessions).judged(vanished)
    assert sessions == {}
    Told(sessions).judged(first(TIMEOUT, *HEADER_HELPED))
    assert len(sessions) == 1
