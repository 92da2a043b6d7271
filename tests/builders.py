"""Values for tests of the pure rooms: sessions as they end, lines as they were observed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from ipaddress import ip_address, ip_network
from typing import Any

from probe.evidence.events import Event, Line, LoginEnded, Observed, SessionId, Stamp
from probe.model import (
    Count,
    Evidence,
    Failure,
    Fault,
    IdMoment,
    Imprint,
    ImprintKind,
    Judgement,
    MaskedBy,
    Peer,
    Phase,
    PhaseTiming,
    Result,
    Service,
    Session,
    Span,
    Tally,
    Verdict,
)

OURS = Peer(ip_address("192.168.1.10"), 48782)
NODE = ip_address("10.0.20.102")


def tally(**counts: int) -> Tally:
    """A tally in which everything was accepted."""
    return {verb: Count(total, total) for verb, total in counts.items()}


FINGERPRINT = tally(ehlo=3, helo=2, starttls=1, noop=4, rset=5, quit=1)


def smtp_session(**changes: Any) -> Session:
    """A session on port 25 that worked: opened at 100 s, closed at 101 s."""
    session = Session(
        id="ours",
        path="vip",
        service=Service.SMTP,
        host="10.0.20.202",
        address=ip_address("10.0.20.202"),
        port=25,
        client=OURS,
        expected=(ip_network("192.168.1.10"),),
        opened=100.0,
        connected=100.1,
        closed=101.0,
        phases=(PhaseTiming(phase=Phase.QUIT, seconds=0.01),),
        fault=None,
        imprint=Imprint(kind=ImprintKind.FINGERPRINT, tally=FINGERPRINT, odds=1 / 6000),
    )
    return replace(session, **changes)


def imaps_session(**changes: Any) -> Session:
    """A session on port 993 that worked, with the spans in which its session id must have been made."""
    session = smtp_session(
        service=Service.IMAPS,
        port=993,
        imprint=Imprint(kind=ImprintKind.SESSION),
        id_moments=id_moments(100.1),
    )
    return replace(session, **changes)


def id_moments(connected: float) -> dict[IdMoment, Span]:
    """Accepted within 20 ms of connect, LOGOUT 30 ms after it and answered within 2 ms."""
    return {
        IdMoment.ACCEPTED: Span(connected, connected + 0.02),
        IdMoment.NEEDED: Span(connected + 0.03, connected + 0.032),
    }


def failed(phase: Phase, failure: Failure, reply: str | None = None) -> Fault:
    """A fault of a phase."""
    return Fault(phase=phase, failure=failure, detail=f"{failure} in {phase}", reply=reply)


@dataclass(frozen=True, slots=True)
class Said:
    """What a line tells, given part by part (`Told`)."""

    event: Event
    line: Line
    raw: str

    @property
    def program(self) -> str:
        return self.line.program


def observed(
    event: Event,
    *,
    arrival: float = 101.02,
    source: str = "file:/log",
    pid: int | None = 7,
    stamp: Stamp | None = None,
) -> Observed:
    """An event as it arrived; each is a line of its own."""
    program = "imap-login" if isinstance(event, LoginEnded) else "postfix/smtpd"
    line = Line(message=str(event), program=program, pid=pid, stamp=stamp)
    return Observed(Said(event, line, f"{arrival} {program}[{pid}]: {event}"), arrival, source)


def login_line(opened: float, peer: Peer, *, user: str = "", identity: str | None = None) -> LoginEnded:
    """Dovecot's line of a connection: without a user it never tried to log in."""
    session = SessionId(identity or f"{opened:.6f}/{peer}", opened, peer)
    return LoginEnded(
        client=Peer(peer.address),
        logged_in=bool(user),
        user=user,
        attempts=1 if user else 0,
        tls=True,
        session=session,
    )


def result(verdict: Verdict = Verdict.PRESERVED, *, masked_by: MaskedBy | None = None, **changes: Any) -> Result:
    """A judged session on port 25; `changes` are the session's."""
    session = smtp_session(**changes)
    if "opened" in changes and "closed" not in changes:
        session = replace(session, connected=session.opened + 0.1, closed=session.opened + 1.0)
    judgement = Judgement(
        verdict=verdict, rule=f"rule-of-{verdict}", explanation=f"It is {verdict}.", hint="Look.", masked_by=masked_by
    )
    return Result(session=session, evidence=Evidence(), judgement=judgement)


def unable(opened: float, **changes: Any) -> Result:
    """A session on port 25 that the vantage could not open."""
    fault = failed(Phase.CONNECT, Failure.VANTAGE)
    return result(Verdict.UNVERIFIED, **{"opened": opened, "id": f"unable {opened}", "fault": fault, **changes})
