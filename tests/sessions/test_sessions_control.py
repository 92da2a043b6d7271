"""Which failure calls for which second connection: the table of control.py, row by row."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest

from probe.model import (
    Control,
    ControlKind,
    Failure,
    Fault,
    Imprint,
    ImprintKind,
    Phase,
    PhaseTiming,
    ProxyHeader,
    Service,
    Session,
)
from probe.sessions.control import BEFORE_LOGIN, SELF_EXPLAINING, called_for, fails_alike

SMTP, SUBMISSION, SUBMISSIONS, IMAPS = Service
ANSWERED = [failure for failure in Failure if failure is not Failure.VANISHED]
LOCAL, SILENT, NO_HEADER = ControlKind.LOCAL_HEADER, ControlKind.SILENT, ControlKind.NO_HEADER
LOST = (Failure.CLOSED, Failure.RESET, Failure.TIMED_OUT)


def _session(
    service: Service, phase: Phase, failure: Failure, *, reply: str | None = None, silent: float = 0
) -> Session:
    return Session(
        id="x",
        path="lab",
        service=service,
        host="192.0.2.1",
        address=ip_address("192.0.2.1"),
        port=service.default_port,
        client=None,
        expected=(),
        opened=0.0,
        connected=0.1,
        closed=9.0,
        phases=(PhaseTiming(phase=Phase.FIRST_BYTE, seconds=silent),),
        fault=Fault(phase=phase, failure=failure, detail="", reply=reply),
        imprint=Imprint(kind=ImprintKind.NONE),
    )


def _tried(session: Session, *kinds: ControlKind, worked: bool = False) -> Session:
    controls = tuple(Control(kind=kind, worked=worked, seconds=1.0) for kind in kinds)
    return replace(session, controls=controls)


@pytest.mark.parametrize("service", [SMTP, SUBMISSION])
@pytest.mark.parametrize("phase", [Phase.FIRST_BYTE, Phase.GREETING])
@pytest.mark.parametrize("failure", LOST)
def test_no_greeting_calls_for_a_local_header_once(service: Service, phase: Phase, failure: Failure) -> None:
    session = _session(service, phase, failure)
    assert called_for(session) is LOCAL
    assert called_for(_tried(session, LOCAL)) is None


@pytest.mark.parametrize("service", [SUBMISSIONS, IMAPS])
@pytest.mark.parametrize("failure", [*LOST, Failure.TLS_BROKEN])
def test_a_broken_handshake_calls_for_local_and_then_for_silence(service: Service, failure: Failure) -> None:
    session = _session(service, Phase.TLS, failure)
    assert called_for(session) is LOCAL
    assert called_for(_tried(session, LOCAL)) is SILENT
    assert called_for(_tried(session, LOCAL, worked=True)) is None
    assert called_for(_tried(session, LOCAL, SILENT)) is None


@pytest.mark.parametrize(
    ("reply", "silent", "kind"),
    [
        ("421 4.3.2 No system resources", 5.0, LOCAL),
        ("421 4.3.2 No system resources", 0.1, None),
        ("554 5.7.1 go away", 5.0, None),
        ("500 5.5.2 Error: bad syntax", 0.1, SILENT),
        ("502 5.5.2 Error: command not recognized", 0.1, SILENT),
        ("221 2.0.0 Bye", 0.1, SILENT),
        ("554 5.5.0 Error: SMTP protocol synchronization", 0.1, SILENT),
    ],
)
def test_what_a_wrong_greeting_calls_for(reply: str, silent: float, kind: ControlKind | None) -> None:
    assert called_for(_session(SMTP, Phase.GREETING, Failure.REJECTED, reply=reply, silent=silent)) is kind


@pytest.mark.parametrize("service", list(Service))
@pytest.mark.parametrize("phase", sorted(BEFORE_LOGIN))
@pytest.mark.parametrize("failure", [failure for failure in ANSWERED if failure not in SELF_EXPLAINING])
def test_after_a_header_of_ours_one_without_it_comes_first(service: Service, phase: Phase, failure: Failure) -> None:
    session = replace(_session(service, phase, failure), header_sent=ProxyHeader.V1)
    assert called_for(session) is NO_HEADER
    assert called_for(_tried(session, NO_HEADER)) is None


@pytest.mark.parametrize("service", [SMTP, SUBMISSION, SUBMISSIONS])
@pytest.mark.parametrize("failure", [*LOST, Failure.PROTOCOL_BROKEN, Failure.REJECTED])
def test_a_failed_hello_calls_for_silence(service: Service, failure: Failure) -> None:
    assert called_for(_session(service, Phase.HELLO, failure)) is SILENT


@pytest.mark.parametrize("service", list(Service))
@pytest.mark.parametrize("phase", [phase for phase in Phase if phase not in BEFORE_LOGIN])
@pytest.mark.parametrize("failure", ANSWERED)
def test_nothing_else_calls_for_anything(service: Service, phase: Phase, failure: Failure) -> None:
    assert called_for(_session(service, phase, failure)) is None


@pytest.mark.parametrize("service", list(Service))
@pytest.mark.parametrize("phase", [phase for phase in Phase if phase not in (Phase.RESOLVE, Phase.CONNECT)])
@pytest.mark.parametrize("header", list(ProxyHeader))
def test_a_connection_that_went_dead_calls_for_a_new_one_alone(
    service: Service, phase: Phase, header: ProxyHeader
) -> None:
    session = replace(_session(service, phase, Failure.VANISHED), header_sent=header)
    assert called_for(session) is ControlKind.CONNECT
    for worked in (True, False):
        assert called_for(_tried(session, ControlKind.CONNECT, worked=worked)) is None


@pytest.mark.parametrize("service", list(Service))
@pytest.mark.parametrize("failure", sorted(SELF_EXPLAINING))
def test_what_explains_itself_calls_for_nothing(service: Service, failure: Failure) -> None:
    for phase in Phase:
        assert called_for(replace(_session(service, phase, failure), header_sent=ProxyHeader.V2)) is None
    assert called_for(replace(_session(service, Phase.TLS, failure), fault=None)) is None


def test_what_control_connections_have_told_they_have_told_of_what_fails_alike() -> None:
    late = _session(SMTP, Phase.GREETING, Failure.REJECTED, reply="421 4.3.2 try again, queue 7", silent=5.0)
    told = _tried(late, LOCAL)
    again = _session(SMTP, Phase.GREETING, Failure.REJECTED, reply="421 4.3.2 try again, queue 9", silent=5.1)
    assert fails_alike(again, told)
    closed, reset = (_session(SMTP, Phase.FIRST_BYTE, failure) for failure in (Failure.CLOSED, Failure.RESET))
    assert fails_alike(reset, _tried(closed, LOCAL)), "which of the two it is is chance"
    others = (
        _session(SMTP, Phase.GREETING, Failure.REJECTED, reply="421 4.3.2 try again", silent=0.1),
        _session(SMTP, Phase.GREETING, Failure.REJECTED, reply="554 5.7.1 go away", silent=5.0),
        _session(SMTP, Phase.FIRST_BYTE, Failure.TIMED_OUT, silent=5.0),
        replace(again, address=ip_address("10.0.20.203")),
        replace(again, fault=None),
    )
    assert not any(fails_alike(other, told) for other in others)
    assert not fails_alike(replace(again, fault=None), replace(told, fault=None))
