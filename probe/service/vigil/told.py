"""What control connections have told of an outage: they tell it once. No clock.

A session that fails may open up to two connections more, to tell faults apart that look alike from outside. Amid an
outage that goes on those of the next one would tell the same, and a server counts each of them: sessions would come
seldom just where one is wanted that finds the return. So a session that fails as the one before it did opens none, and
has that one's judgement. One that fails otherwise opens its own, and one that works begins anew.

An address is proven by each session's own sighting: a verdict that rests on one is never another session's.

Only what is critical is told so: of a warning they may have told nothing (turned away themselves, or opened while the
fault was another one), and it would hide the outage that the next ones find.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from dataclasses import replace

from probe.model import EndpointName, Failure, Judgement, Result, Session, Severity, Verdict
from probe.service.vigil.post import GONE
from probe.sessions.control import fails_alike
from probe.verdict.served import serves

VAGUE = (Verdict.NO_GREETING, Verdict.TLS_FAILED, Verdict.SERVICE_ERROR)
"""Verdicts of which control connections may make a more exact one."""


class Told:
    """The last session of each endpoint whose control connections told what is wrong, and what it was judged."""

    def __init__(self, sessions: MutableMapping[EndpointName, Session]) -> None:
        """`sessions`: those that a session is compared with when it has failed (`Kit.told`)."""
        self._sessions = sessions
        self._judgements: dict[EndpointName, Judgement] = {}

    def judged(self, result: Result) -> Result:
        """The same, or as the one was judged that it fails like."""
        session, name = result.session, result.session.endpoint
        known = self._sessions.get(name)
        if known is not None and not session.controls and fails_alike(session, known):
            vague = result.judgement.verdict in VAGUE
            return replace(result, judgement=self._judgements[name]) if vague else result
        if _is_told(result):
            self._sessions[name], self._judgements[name] = session, result.judgement
        else:
            self._sessions.pop(name, None)
        return result


def _is_told(result: Result) -> bool:
    """Whether its control connections told what the server does, and not what became of the way to it meanwhile."""
    session = result.session
    vanished = session.fault is not None and session.fault.failure is Failure.VANISHED
    verdict = result.judgement.verdict
    is_critical = verdict.severity is Severity.CRITICAL and not serves(verdict)
    return bool(session.controls) and not vanished and is_critical and verdict not in GONE
