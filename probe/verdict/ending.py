"""A watch so far -> whether it ends, why, and what it waits for. Pure; what endpoints have shown is `shown`'s to say.

Rule 1: an outage that is certainly too long ends it at once, one that is tolerated, or may be, is given its time.
Rule 2: to be well takes new good news, not the absence of bad: a watch is stable once every endpoint has had a session
        that was opened after the stretch that was asked for, and was good.
Rule 3: nobody waits for ever: where nobody goes or comes back any more and yet all do not become well, it ends and says
        what they are; and so where they come and go all the time.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from probe.model import Ending, Gap, GapKind, Watched, WatchedEndpoint
from probe.verdict.served import MILD, UNSURE, gap_of, is_served, serves
from probe.verdict.shown import lasting, real_outages, waits, well_since

LEAST_PATIENCE = 300.0
OUTAGE_PATIENCE = 900.0
PATIENCE_TURNS = 5
"""Waiting for all to be well, or for the sessions that show so, goes on for so many seconds in which nobody goes or
comes back, and so many times --until-stable. Where somebody is not served, it goes on for the longer one, and so many
times --max-outage: Kubernetes takes a volume from a node that is gone after six minutes, and only then does the pod
start elsewhere."""

QUIET = 60.0
"""Seconds in which nobody goes or comes back until the end that comes of that is told."""

UNNAMED = 4
"""Who comes and goes all the time is given the longer one once, from the end of the change on; so many times from the
baseline, where nobody knows when the change is over."""

LATE_TURNS = 2
"""The sessions that the end waits for are waited for as long as LEAST_PATIENCE, and so many times their pace."""


def longest(watched: Watched) -> Gap | None:
    """The longest outage of all endpoints, of those that began while somebody watched or last."""
    return max(charged(watched.endpoints), key=lambda gap: gap.seconds, default=None)


def too_long(watched: Watched) -> Gap | None:
    """The outage that certainly went past what is tolerated; one from the start, in which nobody is served, counts from
    there while it lasts.

    What a session that failed has seen counts too, though its evidence is still looked for.
    """
    most = watched.wanted.max_outage
    failed = (_with_what_failed(one) for one in watched.endpoints)
    gap = max(charged(failed), key=lambda one: one.certain, default=None)
    return gap if most is not None and gap is not None and gap.certain > most else None


def as_ended(watched: Watched) -> Watched:
    """The same; where an outage was too long, what sessions have seen of one that failed is listed as such."""
    if watched.ending is not Ending.MAX_OUTAGE:
        return watched
    return replace(watched, endpoints=tuple(_with_what_failed(one) for one in watched.endpoints))


def _with_what_failed(endpoint: WatchedEndpoint) -> WatchedEndpoint:
    return endpoint if endpoint.feared is None else replace(endpoint, gaps=endpoint.feared)


def closing(watched: Watched) -> float | None:
    """The moment from which on one good session of each endpoint ends the watch; None where all are not well."""
    stable, wanted = stable_since(watched), watched.wanted.until_stable
    if stable is None or wanted is None or changes(watched):
        return None
    return max(stable, watched.change_over or stable) + wanted


def changes(watched: Watched) -> bool:
    """Whether the process that makes the change is still at it."""
    return watched.wanted.process is not None and watched.change_over is None


def unshown_since(watched: Watched, moment: float) -> tuple[WatchedEndpoint, ...]:
    """Endpoints of which no session that was opened since then is judged yet, or that lack another one."""
    return tuple(
        one
        for one in watched.endpoints
        if one.latest is None or one.latest.at < moment or waits(one, watched.until) is not None
    )


def awaited(watched: Watched) -> tuple[WatchedEndpoint, ...]:
    """Endpoints whose last session is all that the end waits for."""
    moment = closing(watched)
    return () if moment is None or watched.until < moment else unshown_since(watched, moment)


def sessions_wanted(watched: Watched) -> tuple[WatchedEndpoint, ...]:
    """Endpoints of which a session is wanted now, ahead of its turn: to show what the end waits for, or that an outage
    lasts."""
    moment = closing(watched)
    return tuple(one for one in watched.endpoints if _is_wanted(one, watched, moment))


def _is_wanted(endpoint: WatchedEndpoint, watched: Watched, closing_at: float | None) -> bool:
    moments = [closing_at, _too_long_at(endpoint, watched)]
    due = max((moment for moment in moments if moment is not None and moment <= watched.until), default=None)
    if due is None:
        return False
    opened = [one.at for one in endpoint.samples[-1:]] + ([endpoint.under_way.opened] if endpoint.under_way else [])
    return max(opened, default=float("-inf")) < due


def _too_long_at(endpoint: WatchedEndpoint, watched: Watched) -> float | None:
    """When what only sessions see becomes too long, if it lasts."""
    now, most = lasting(endpoint), watched.wanted.max_outage
    gap = next((one for one in charged([endpoint]) if one.ended is None), None)
    if now is None or gap is None or most is None or now.kind is GapKind.UNREACHABLE:
        return None
    return gap.stretches[-1].start + most


def stable_since(watched: Watched) -> float | None:
    """Since when all endpoints have been well, since the baseline at most; None where one is not."""
    since = [well_since(endpoint, watched.wanted.max_outage or 0.0) for endpoint in watched.endpoints]
    if watched.began is None or None in since:
        return None
    return max(watched.began, *(moment for moment in since if moment is not None))


def stable_seconds(watched: Watched) -> float | None:
    """Seconds for which all endpoints have been well."""
    since = stable_since(watched)
    return None if since is None else watched.until - since


def calm_since(watched: Watched, began: float) -> float:
    """Since when nobody has gone or come back, since the baseline and the end of the change at most."""
    gaps = [gap for one in watched.endpoints for gap in (*one.gaps, *real_outages(one)) if gap.kind not in MILD]
    turns = (gap.began.by if gap.ended is None else gap.ended.moment for gap in gaps)
    return max(began, watched.change_over or began, *turns)


def patience(watched: Watched, until_stable: float) -> float:
    """Seconds for which nobody goes or comes back until it ends, though not all are well."""
    least = max(LEAST_PATIENCE, PATIENCE_TURNS * until_stable)
    if not any(map(_is_unserved, watched.endpoints)):
        return least
    return max(least, OUTAGE_PATIENCE, PATIENCE_TURNS * (watched.wanted.max_outage or 0.0))


def _is_unserved(endpoint: WatchedEndpoint) -> bool:
    """Whether it is out and its clients get nothing: who is masked is out, and yet served."""
    gap, latest = lasting(endpoint), endpoint.latest
    if gap is None or gap.kind is GapKind.UNREACHABLE:
        return gap is not None
    return latest is None or not serves(latest.verdict)


def why_over(watched: Watched) -> Ending | None:
    """Why one that has begun ends by itself; None: it goes on."""
    if watched.began is None:
        return None
    if too_long(watched) is not None:
        return Ending.MAX_OUTAGE
    if is_stable(watched):
        return Ending.STABLE
    given_up = given_up_at(watched)
    return Ending.UNPROVEN if given_up is not None and given_up <= watched.until else None


def is_stable(watched: Watched) -> bool:
    """Whether all have been well for as long as was asked for, and have shown so since."""
    moment = closing(watched)
    if moment is None or watched.until < moment:
        return False
    return not unshown_since(watched, moment) and not any(one.in_doubt for one in watched.endpoints)


def nears_its_end(watched: Watched) -> float | None:
    """When it ends though all are not well, once that has gone on for so long that it should be told; else None."""
    if watched.began is None or closing(watched) is not None:
        return None
    quiet = watched.until - calm_since(watched, watched.began)
    return given_up_at(watched) if quiet >= QUIET else None


def given_up_at(watched: Watched) -> float | None:
    """When it ends though not all have shown that they are well, if nobody goes or comes back any more, or all do."""
    wanted, moment = watched.wanted, closing(watched)
    if watched.began is None or wanted.until_stable is None or changes(watched):
        return None
    longest_wait = max(OUTAGE_PATIENCE, PATIENCE_TURNS * max(wanted.until_stable, wanted.max_outage or 0.0))
    restless = watched.change_over + longest_wait if watched.change_over else watched.began + UNNAMED * longest_wait
    if moment is None:
        return min(restless, calm_since(watched, watched.began) + patience(watched, wanted.until_stable))
    pace = max((one.pace for one in watched.endpoints), default=0.0)
    return min(restless, moment + max(LEAST_PATIENCE, LATE_TURNS * pace))


def is_broken(endpoint: WatchedEndpoint) -> bool:
    """Whether it was critical before anything was changed, or turned clients away; a rate limit may be everybody's."""
    return endpoint.baseline is not None and gap_of(endpoint.baseline.verdict) is not None


def only_limited(watched: Watched) -> bool:
    """Whether all that was broken before anything was changed met a rate limit: most likely this machine's own."""
    broken = [one.baseline for one in watched.endpoints if is_broken(one)]
    return bool(broken) and all(one is not None and one.verdict in UNSURE for one in broken)


def tried_again(watched: Watched) -> tuple[WatchedEndpoint, ...]:
    """Endpoints whose first session met a rate limit, and that wait for another one to have a baseline."""
    waiting = (one for one in watched.endpoints if one.baseline is None and one.under_way is None)
    return tuple(one for one in waiting if one.latest is not None and one.latest.took_place)


def charged(endpoints: Iterable[WatchedEndpoint]) -> Iterable[Gap]:
    """Outages that count: not those from the start that are over or serve clients, nor what is none by itself."""
    known = (gap for endpoint in endpoints for gap in real_outages(endpoint))
    return (gap for gap in known if not gap.from_the_start or (gap.ended is None and not is_served(gap)))
