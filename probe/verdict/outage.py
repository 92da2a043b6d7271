"""Verdicts over time -> outages. Pure.

Rule 1: an outage is what the contract says: a stretch of time in which an endpoint's verdict was critical. A warning
        and `unverified` end it: the first because mail comes in, the second because nothing is known any more.
Rule 2: it begins and ends when sessions were opened, so its length is wrong by less than one interval at either end
        and right on average. Nothing finer is known, and nothing is guessed. Only a session that was opened into
        silence, and connected by a SYN sent again, shows that it lasted until then.
Rule 3: one outage may change its verdict: a drop that becomes a refusal is still the same outage.
Rule 4: where no session looked for longer than a lapse, as while no daemon ran, nothing is known. An outage that is
        there after it as before it goes on, and one that is not ended somewhere in it; that time is `unwatched` and
        no part of how long it is known to have lasted.
Rule 5: a session that the vantage could not open looked at nothing. It begins, renews and ends no outage.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from probe.model import Outage, Result, Session, Severity

RESENT = 1.0
"""Seconds after which a SYN without an answer is sent again (RFC 6298); before that, the first one was answered."""

NEVER = float("inf")
"""The lapse of one who never looks away: what was before always counts for what is between."""


@dataclass(frozen=True, slots=True)
class Step:
    """What one session did to an endpoint's outage: the one that lasts after it, and the one that it ended.

    `seconds`: by how much longer the outage that there was is known to have lasted since.
    """

    lasting: Outage | None = None
    ended: Outage | None = None
    seconds: float = 0.0


def step(outage: Outage | None, result: Result, lapse: float = NEVER) -> Step:
    """Go on from the outage there was, None if there was none, by one judged session. `lapse`: seconds (rule 4)."""
    session, judgement = result.session, result.judgement
    if not session.took_place:
        return Step(lasting=outage)
    if judgement.verdict.severity is not Severity.CRITICAL:
        return _ended(outage, session, lapse) if outage else Step()
    verdicts = outage.verdicts if outage else ()
    known = verdicts if judgement.verdict in verdicts else (*verdicts, judgement.verdict)
    return Step(
        lasting=Outage(
            endpoint=session.endpoint,
            began=outage.began if outage else session.opened,
            seen=max(session.opened, outage.seen) if outage else session.opened,
            unwatched=_unwatched(outage, session.opened, lapse) if outage else 0.0,
            first=outage.first if outage else session.id,
            verdicts=known,
            session=session.id,
            masked_by=judgement.masked_by,
            explanation=judgement.explanation,
            cause=judgement.cause,
            hint=judgement.hint,
        ),
        seconds=longer(outage, session.opened, lapse) if outage else 0.0,
    )


def _ended(outage: Outage, session: Session, lapse: float) -> Step:
    opened, connected = session.opened, session.connected or session.opened
    until = connected if connected >= opened + RESENT else opened
    ended = replace(over(outage, opened, lapse), ended=max(until, outage.seen))
    return Step(ended=ended, seconds=longer(outage, opened, lapse) + max(0.0, until - max(opened, outage.seen)))


def longer(outage: Outage, opened: float, lapse: float = NEVER) -> float:
    """Seconds that it lasted on, as a session that was opened then shows: none of those in which nobody looked."""
    since = opened - outage.seen
    return max(0.0, since) if since <= lapse else 0.0


def over(outage: Outage, opened: float, lapse: float = NEVER) -> Outage:
    """One that a session which was opened then found over."""
    return replace(outage, ended=max(opened, outage.seen), unwatched=_unwatched(outage, opened, lapse))


def left(outage: Outage) -> Outage:
    """One at which nobody looks any more: no session will find it over, and it is known until it was last seen."""
    return replace(outage, ended=outage.seen)


def joined(before: Outage, after: Outage, lapse: float = NEVER) -> Outage:
    """One outage of two: no session between them found it over, it was only not known that it lasted."""
    more = tuple(verdict for verdict in after.verdicts if verdict not in before.verdicts)
    return replace(
        after,
        began=before.began,
        first=before.first,
        verdicts=(*before.verdicts, *more),
        unwatched=_unwatched(before, after.began, lapse) + after.unwatched,
    )


def _unwatched(outage: Outage, opened: float, lapse: float) -> float:
    """Seconds of it in which nobody looked, with those before this session."""
    since = opened - outage.seen
    return outage.unwatched + (since if since > lapse else 0.0)
