"""When a watch begins, and what it refuses: sessions and knocks before anything is changed, at two endpoints."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from probe.model import Ending, Endpoint, Failure, Phase, Service, Severity, Verdict, Wanted, Watched
from probe.report.watched_words import refusal
from probe.service.vigil.baseline import Baseline
from probe.service.vigil.post import Post
from probe.verdict.ending import LEAST_PATIENCE, tried_again
from probe.verdict.watched import conclude
from tests.builders import failed, result
from tests.watched import knocks

FIRST, OTHER = (Endpoint(path=path, service=Service.SMTP, host="10.0.20.202", port=25) for path in ("vip", "other"))
DROPPED = failed(Phase.CONNECT, Failure.TIMED_OUT)
UNOPENED: dict[str, Any] = {"fault": failed(Phase.CONNECT, Failure.VANTAGE), "connected": None}


@dataclass
class Before:
    """A watch that has not begun: what came so far, up to now."""

    from_broken: bool = False
    now: float = 1000.0
    posts: tuple[Post, Post] = field(default_factory=lambda: (Post(FIRST), Post(OTHER)))

    def __post_init__(self) -> None:
        self.baseline = Baseline(self.posts, from_broken=self.from_broken, pace=15.0, longest=45.0)

    def session(
        self, endpoint: Endpoint, verdict: Verdict = Verdict.PRESERVED, *, after: float = 1.0, **told: Any
    ) -> Before:
        """One that takes a second, opened so many seconds after what came before."""
        opened = self.now + after
        lost = verdict is Verdict.SILENT_DROP
        more = told or ({"fault": DROPPED, "connected": None} if lost else {"connected": opened})
        judged = result(verdict, path=endpoint.path, opened=opened, closed=opened + 1.0, **more)
        self.now = opened + 1.0
        self.baseline.recorded(self._post(endpoint).recorded(judged, self.now), judged)
        return self

    def knocked(self, told: str, endpoint: Endpoint = FIRST) -> Before:
        """A knock each 0.2 s from now on."""
        for knock in knocks(told, start=self.now + 0.2):
            self._post(endpoint).knocked(knock)
            self.now = knock.at
        return self

    def told(self, ending: Ending | None = None) -> Watched:
        endpoints, began = tuple(post.told(0.2) for post in self.posts), self.baseline.began
        wanted = Wanted(from_broken=self.from_broken, max_outage=30.0)
        return Watched(
            vantage="v", wanted=wanted, started=1000.0, until=self.now, began=began, ending=ending, endpoints=endpoints
        )

    @property
    def ending(self) -> Ending | None:
        return self.baseline.why_over(self.told())

    @property
    def has_begun(self) -> bool:
        return self.ending is None and self.baseline.began is not None

    @property
    def waits(self) -> bool:
        return self.ending is None and self.baseline.began is None

    def refused(self) -> str:
        """What it says as it refuses."""
        assert (self.ending, self.baseline.began) == (Ending.BASELINE, None)
        return refusal(self.told(Ending.BASELINE))

    def printed(self) -> list[Verdict]:
        return [one.judgement.verdict for one in self.baseline.results]

    def _post(self, endpoint: Endpoint) -> Post:
        return self.posts[endpoint is OTHER]


def test_it_begins_once_every_endpoint_has_been_looked_at() -> None:
    before = Before().knocked("----").session(FIRST)
    assert before.waits
    assert before.session(OTHER, Verdict.UNVERIFIED).has_begun


@pytest.mark.parametrize("verdict", [Verdict.MASKED, Verdict.TLS_FAILED, Verdict.SERVICE_ERROR])
def test_what_goes_bad_while_another_one_is_awaited_is_refused_and_shown(verdict: Verdict) -> None:
    before = Before().session(FIRST).session(FIRST, verdict)
    assert before.waits, "all that is broken is told at once"
    before.session(OTHER)
    assert f"broken before anything was changed: vip/smtp {verdict}; " in before.refused()
    assert before.printed() == [verdict, Verdict.PRESERVED]


@pytest.mark.parametrize("verdict", [Verdict.RATE_LIMITED, Verdict.UNVERIFIED])
def test_what_may_be_this_machine_s_own_says_nothing_later(verdict: Verdict) -> None:
    before = Before().session(FIRST).session(FIRST, verdict).session(OTHER)
    assert before.has_begun
    assert before.printed() == [Verdict.PRESERVED, Verdict.PRESERVED]


@pytest.mark.parametrize("other", [Verdict.PRESERVED, Verdict.RATE_LIMITED])
def test_who_answers_no_knocks_any_more_is_broken_as_soon_as_a_session_has_named_it(other: Verdict) -> None:
    """Nobody waits for the other one's minute then."""
    before = Before().knocked("-----").session(FIRST).knocked("--xxx").session(OTHER, other)
    assert before.waits
    before.session(FIRST, Verdict.SILENT_DROP)
    assert "refuses to watch what is broken before anything was changed: vip/smtp silent_drop; " in before.refused()
    assert before.printed() == [Verdict.SILENT_DROP, other]


def test_who_is_back_holds_once_a_session_has_shown_so() -> None:
    before = Before().knocked("-----").session(FIRST).knocked("--rr").session(FIRST, Verdict.SILENT_DROP)
    assert before.waits, "for the other one"
    before.knocked("---").session(OTHER)
    assert before.waits
    assert before.session(FIRST).has_begun


def test_who_is_served_while_knocks_go_unanswered_holds() -> None:
    """Something on the way drops SYNs for their number."""
    before = Before().knocked("-----").session(FIRST).knocked("xxx").session(OTHER)
    assert before.waits
    assert before.session(FIRST).has_begun


def test_a_rate_limit_has_its_minute_and_is_then_taken_for_what_it_is() -> None:
    before = Before().session(FIRST).session(OTHER, Verdict.RATE_LIMITED)
    again = before.baseline.again_at(before.posts[1])
    assert before.waits
    assert again == 1063.0
    assert before.session(OTHER, Verdict.RATE_LIMITED).waits, "too early"
    before.session(OTHER, Verdict.RATE_LIMITED, after=60.0)
    assert before.refused().startswith("does not begin: rate_limited before anything was changed, and again a minute")
    assert before.baseline.again_at(before.posts[1]) is None
    well = Before().session(FIRST).session(OTHER, Verdict.RATE_LIMITED).session(OTHER, after=60.0)
    assert well.has_begun


def test_who_watches_what_is_broken_takes_it_as_it_comes() -> None:
    before = Before(from_broken=True).knocked("rrr").session(FIRST, Verdict.SILENT_DROP).session(FIRST)
    assert before.session(OTHER, Verdict.RATE_LIMITED).has_begun
    assert before.printed() == [Verdict.SILENT_DROP, Verdict.RATE_LIMITED]


@pytest.mark.parametrize("from_broken", [False, True])
def test_what_this_machine_could_not_open_is_no_baseline(*, from_broken: bool) -> None:
    before = Before(from_broken=from_broken).session(FIRST, Verdict.UNVERIFIED, **UNOPENED)
    assert before.waits, "for the other one"
    assert before.session(OTHER).refused() == (
        "does not begin after 4 s: no session has shown how vip/smtp serves. Nothing was touched"
    )
    assert before.printed() == [Verdict.UNVERIFIED, Verdict.PRESERVED]
    assert tried_again(before.told()) == ()
    opened = Before(from_broken=from_broken).session(FIRST, Verdict.UNVERIFIED, **UNOPENED).session(FIRST)
    assert opened.session(OTHER).has_begun


def test_nobody_waits_for_ever() -> None:
    """A server that comes and goes between sessions, and a session that never comes."""
    before = Before().knocked("-----").session(FIRST).knocked("--rr---")
    before.now = 1000.0 + LEAST_PATIENCE - 0.1
    assert before.waits
    before.now += 0.1
    told = "does not begin after 300 s: no session has shown how vip/smtp, other/smtp serves. Nothing was touched"
    assert before.refused() == told
    assert conclude(before.told(Ending.BASELINE)).severity is Severity.UNKNOWN
    assert before.printed() == [], "what was seen before does not hold"


def test_where_sessions_come_seldom_they_are_given_their_time() -> None:
    before = Before()
    before.baseline = Baseline(before.posts, from_broken=False, pace=400.0, longest=45.0)
    before.now += 799.0
    assert before.waits
    before.now += 1.0
    assert before.ending is Ending.BASELINE
