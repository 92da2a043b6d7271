"""When a watch has begun: what each endpoint was before anything is changed, and whether that still holds. No clock.

Rule 1: the first session of an endpoint is its baseline. It has to hold until every other one has its own: a session
        that is critical meanwhile, or turned away, takes its place; where nobody answers knocks any more, the one that
        failed for that; and where somebody answers again, it holds once a session has shown so.
Rule 2: a first session that meets a rate limit has most likely met this machine's own: it is no baseline, another one
        is opened once the server has forgotten the connections that it counted, and only that is taken for what it is.
        One that meets a limit later says nothing.
Rule 3: what is broken is refused as soon as every endpoint has been looked at: no limit's minute is waited for then.
Rule 4: nobody waits for ever: what was not shown by then is refused as well.
Rule 5: a session that this machine could not open is no baseline, and is refused as well: nobody would be watched.
Rule 6: who wants to watch what is broken takes each first session for what it is, if it took place.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum, auto

from probe.model import Ending, EndpointName, Gap, GapKind, Result, Sample, Watched, WatchedEndpoint
from probe.service.budget import WINDOW
from probe.service.vigil.post import Post
from probe.verdict.ending import LATE_TURNS, LEAST_PATIENCE, why_over
from probe.verdict.served import UNSURE, gap_of


class Stand(Enum):
    """How one endpoint's baseline stands."""

    AWAITED = auto()
    BROKEN = auto()
    UNOPENED = auto()
    TRIED_AGAIN = auto()
    LIMITED = auto()
    HOLDS = auto()


class Step(Enum):
    """What follows for the watch."""

    WAIT = auto()
    REFUSE = auto()
    BEGIN = auto()


DECIDES: Mapping[Stand, Step] = {
    Stand.AWAITED: Step.WAIT,
    Stand.BROKEN: Step.REFUSE,
    Stand.UNOPENED: Step.REFUSE,
    Stand.TRIED_AGAIN: Step.WAIT,
    Stand.LIMITED: Step.REFUSE,
    Stand.HOLDS: Step.BEGIN,
}
"""The first row that an endpoint is in decides for all."""


@dataclass(slots=True)
class Footing:
    """One endpoint. `result`: its baseline, in full, or what was to be one. `last`: its latest session.

    `limited`: when the first session was opened that met a rate limit, where there is no baseline yet.
    """

    post: Post
    result: Result | None = None
    last: tuple[Sample, Result] | None = None
    limited: float | None = None

    def take(self, sample: Sample, result: Result) -> None:
        """This session is the baseline."""
        self.post.baseline, self.result = sample, result


class Baseline:
    """What all endpoints were, and since when the watch has begun.

    `limit_lasts`: seconds after which a server has forgotten connections that it counted. `patience`: seconds after
    which what was not shown is refused.
    """

    def __init__(self, posts: Iterable[Post], *, from_broken: bool, pace: float = 0.0, longest: float = 0.0) -> None:
        """`pace`: seconds between two sessions where they come most seldom. `longest`: that one of them may take."""
        self.began: float | None = None
        self.limit_lasts = WINDOW
        self.patience = max(LEAST_PATIENCE, LATE_TURNS * pace, LATE_TURNS * longest)
        self._from_broken = from_broken
        self._of: dict[EndpointName, Footing] = {post.endpoint.name: Footing(post) for post in posts}

    @property
    def results(self) -> tuple[Result, ...]:
        """The session that is each endpoint's baseline, as far as there is one."""
        return tuple(one.result for one in self._of.values() if one.result is not None)

    def recorded(self, sample: Sample, result: Result) -> None:
        """One more session is written down; after the watch has begun it changes nothing here."""
        if self.began is not None:
            return
        one = self._of[result.session.endpoint]
        one.last = (sample, result)
        if one.post.baseline is sample:
            one.result = result
            if self._is_tried_again(one, sample):
                one.post.baseline = None
        elif one.post.baseline is None:
            one.result = result
        elif _is_certainly_broken(sample) and not (sample.aside or self._from_broken):
            one.take(sample, result)

    def again_at(self, post: Post) -> float | None:
        """When an endpoint is tried again that met a rate limit; None where none is waited for."""
        limited = self._of[post.endpoint.name].limited
        return None if limited is None or post.baseline is not None else limited + self.limit_lasts

    def why_over(self, watched: Watched) -> Ending | None:
        """Why a watch ends that has seen this; None: it goes on. It begins here, or is refused."""
        if self.began is not None:
            return why_over(watched)
        step = self._step(watched)
        if step is Step.BEGIN:
            self.began = watched.until
        return Ending.BASELINE if step is Step.REFUSE else None

    def _step(self, watched: Watched) -> Step:
        stands = {one.name: self._stand(self._of[one.name], one) for one in watched.endpoints}
        step = next((step for stand, step in DECIDES.items() if stand in stands.values()), Step.WAIT)
        is_late = step is Step.WAIT and watched.until >= watched.started + self.patience
        if not is_late and step is not Step.REFUSE:
            return step
        for known in watched.endpoints:
            self._settle(self._of[known.name], known)
        return Step.REFUSE

    def _settle(self, one: Footing, known: WatchedEndpoint) -> None:
        """What is refused is what is so now."""
        if one.last is not None and _has_failed_for(known, one.last[0]):
            one.take(*one.last)
        elif self._stand(one, known) is Stand.AWAITED:  # what was seen before does not hold
            one.result = None

    def _is_tried_again(self, one: Footing, sample: Sample) -> bool:
        if self._from_broken or sample.verdict not in UNSURE:
            return False
        one.limited = sample.at if one.limited is None else one.limited
        return sample.at < one.limited + self.limit_lasts

    def _stand(self, one: Footing, known: WatchedEndpoint) -> Stand:
        if one.post.baseline is None or one.last is None:
            if one.last is not None and not one.last[0].took_place:
                return Stand.UNOPENED
            return Stand.AWAITED if one.limited is None else Stand.TRIED_AGAIN
        if self._from_broken:
            return Stand.HOLDS
        if _has_failed_for(known, one.last[0]):
            return Stand.BROKEN
        if _is_broken(one.post.baseline):
            return Stand.LIMITED if one.post.baseline.verdict in UNSURE else Stand.BROKEN
        return Stand.HOLDS if _is_shown(known) else Stand.AWAITED


def _is_broken(sample: Sample) -> bool:
    return gap_of(sample.verdict) is not None


def _is_certainly_broken(sample: Sample) -> bool:
    return _is_broken(sample) and sample.verdict not in UNSURE


def _silence(known: WatchedEndpoint) -> Gap | None:
    """The stretch that lasts in which nobody answers knocks."""
    gap = known.lasting
    return gap if gap is not None and gap.kind is GapKind.UNREACHABLE else None


def _has_failed_for(known: WatchedEndpoint, sample: Sample) -> bool:
    """Whether this session failed because nobody answers any more."""
    gap = _silence(known)
    return gap is not None and sample.aside and _is_certainly_broken(sample) and sample.closed >= gap.began.earliest


def _is_shown(known: WatchedEndpoint) -> bool:
    """Whether a session has been served since it last went or came back: one may be while knocks go unanswered."""
    gap, latest = _silence(known), known.latest
    if gap is not None:
        return latest is not None and latest.at >= gap.began.by
    return not known.awaits_session
