"""How well a source serves: what it brought, how late, by which clock, and what that says of a session not found.

Rules of this file:
- Lateness is arrival, on the probe's clock, less the time stamp, on the server's. It is lag and clock offset in one;
  where sightings have told the server's clock, the offset is taken out.
- A trouble is said in one clause with its next step, and only if it may be why the session was not found.
- A source that is down or silent has no further troubles: they would all be that one.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import median

from probe.evidence.events import Connected, Disconnected, Observed
from probe.evidence.scene import AGREED, Clocks, from_dovecot
from probe.model import Peer, Session

LAG_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
"""Upper bounds, in seconds, of the buckets that lateness is counted in; above them is one more."""

REMEMBERED = 30
"""Latenesses of which a source's lag is the median."""

FEW = 9
OTHERS = 3
"""So many lines before a lag grows, and so many that show the clock of now; so many ends of other sessions before ours
is missed among them."""

HALF_A_GRAIN = 0.5
"""Of syslog's whole seconds the middle is taken: what was written in the first half of one seems to come before it."""

NOTABLE = 2.0
"""Seconds of clock offset or of growing lag that are worth a word."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Heard:
    """What a source has brought since the watch began. `late`: the last few latenesses, the oldest first.

    `offset`: the server's clock less ours as sightings tell it, None if they do not. `counted`: how often lateness fell
    into each of LAG_BUCKETS and above them; `late_in_all` is their sum, with stamps in the future as 0: it never falls.
    `shift`: how far the probe's wall clock was set since its own began, which moments and latenesses go by.
    `zoned`: whether all of these stamps name their zone; without one they are read as UTC.
    """

    source: str
    up: bool
    reason: str = ""
    lines: int = 0
    events: int = 0
    last_line_at: float | None = None
    gaps: int = 0
    late: tuple[float, ...] = ()
    zoned: bool = True
    counted: tuple[int, ...] = (0,) * (len(LAG_BUCKETS) + 1)
    late_in_all: float = 0.0
    offset: float | None = None
    shift: float = 0.0

    @property
    def lag(self) -> float | None:
        """Seconds from stamp to arrival, as far as the clocks are known; none below 0. None without stamps."""
        known = self.offset if self.offset is not None else self.shift
        return max(0.0, median(self.late) + known) if self.late else None

    @property
    def growth(self) -> float:
        """By how much lines come later now than a while ago."""
        third = len(self.late) // 3
        return median(self.late[-third:]) - median(self.late[:third]) if len(self.late) >= FEW else 0.0

    @property
    def clock_offset(self) -> float | None:
        """The server's clock less the probe's of now, as sightings told it, or at least what lines of the future show.

        A clock that was set so far ahead that no line counts any more is shown by nothing else. None where neither says
        anything: lines that come late may be held up as well as stamped by a slow clock, or in another zone.
        """
        ahead = -min(self.late[-FEW:], default=0.0) if self.zoned else 0.0
        known = self.offset + NOTABLE if self.offset is not None else HALF_A_GRAIN
        told = ahead if ahead > max(known, HALF_A_GRAIN) else self.offset
        return told - self.shift if told is not None else None


def bucket(late: float) -> int:
    """Which of LAG_BUCKETS a lateness belongs to."""
    return bisect_left(LAG_BUCKETS, late)


def offset_of(source: str, clocks: Clocks) -> float | None:
    """The server's clock less ours, in the middle of what sightings agree on."""
    known = [offset for (name, _), offset in clocks.items() if name == source and offset.sightings >= AGREED]
    return (known[0].low + known[0].high) / 2 if known else None


@dataclass(frozen=True, slots=True)
class Missed:
    """A session that was not found, and what one source said of its time; `patience` is how long was searched."""

    session: Session
    heard: Heard
    since: Sequence[Observed]
    patience: float


def to_mend(session: Session, heard: Sequence[Heard], observed: Sequence[Observed]) -> Iterator[str]:
    """The sources that are down, each with its reason; none where another brought lines of the session's kind."""
    if not _is_served(session, [seen for seen in observed if seen.arrival >= session.opened]):
        yield from (_named(one) for one in heard if not one.up)


def _named(one: Heard) -> str:
    """Its reason, which mostly says where."""
    _, _, place = one.source.partition(":")
    return one.reason if place in one.reason else f"{one.source}: {one.reason}"


def troubles(session: Session, heard: Sequence[Heard], observed: Sequence[Observed], patience: float) -> Iterator[str]:
    """Why the sources may not have told of this session, each trouble with its next step."""
    since = [seen for seen in observed if seen.arrival >= session.opened]
    served = _is_served(session, since)
    for one in heard:
        missed = Missed(session, one, [seen for seen in since if seen.source == one.source], patience)
        whole = next((clause for tell in ALONE[served] if (clause := tell(missed))), "")
        clauses = [whole] if whole else [clause for tell in BESIDE if (clause := tell(missed))]
        yield from (f"{one.source} {clause}" for clause in clauses)


def _is_served(session: Session, since: Sequence[Observed]) -> bool:
    return any(from_dovecot(seen) is not session.service.speaks_smtp for seen in since)


def _down(missed: Missed) -> str:
    return "" if missed.heard.up else f"is not up ({missed.heard.reason})"


def _silent(missed: Missed) -> str:
    last = missed.heard.last_line_at
    if last is not None and last >= missed.session.opened:
        return ""
    since = "since the session began" if last is not None else "at all"
    return f"is up but has brought no line {since}: see that the server logs there, and that what ships it runs"


def _foreign(missed: Missed) -> str:
    if missed.heard.events:
        return ""
    return (
        f"has brought {missed.heard.lines} lines, and none is one of Postfix's or Dovecot's that count: see that it is "
        "the mail server's log, and that nothing rewrites its lines"
    )


def _dropping(missed: Missed) -> str:
    """Lines of our own kind come and ours does not."""
    session = missed.session
    ends = [seen.event for seen in missed.since if isinstance(seen.event, Disconnected)]
    if not session.imprint.tally or any(dict(end.tally) == dict(session.imprint.tally) for end in ends):
        return ""
    if any(isinstance(seen.event, Connected) and _may_be_ours(session, seen.event.client) for seen in missed.since):
        return "has a connect from our address and not our disconnect: look for a filter that drops lines on the way"
    if len(ends) < OTHERS:
        return ""
    return (
        f"tells how {len(ends)} other sessions ended since ours began, and not how ours did: look for a filter that "
        "drops lines on the way, or it is another server's log"
    )


def _may_be_ours(session: Session, client: Peer | None) -> bool:
    ours = session.client
    return client is not None and ours is not None and client in (ours, replace(ours, port=None))


def _late(missed: Missed) -> str:
    lag = missed.heard.lag
    if lag is None or lag <= missed.patience:
        return ""
    return (
        f"brings lines {lag:.0f} s after their time stamps, and the search ended after {missed.patience:.0f} s: raise "
        "timeouts.evidence or hasten what ships them, unless the clock or the time zone there is wrong"
    )


def _growing(missed: Missed) -> str:
    growth = missed.heard.growth
    if growth <= NOTABLE:
        return ""
    return f"brings lines ever later, {growth:.0f} s more than a while ago: what ships them does not keep up"


def _ahead(missed: Missed) -> str:
    offset = missed.heard.clock_offset or 0.0
    if abs(offset) <= NOTABLE:
        return ""
    way = "ahead of" if offset > 0 else "behind"
    return f"is stamped by a clock {abs(offset):.0f} s {way} the probe's: see to the time, or the time zone, on both"


def _gappy(missed: Missed) -> str:
    return f"has lost lines, or may have, {missed.heard.gaps} times: see the warnings" if missed.heard.gaps else ""


ALONE: dict[bool, tuple[Callable[[Missed], str], ...]] = {True: (_down,), False: (_down, _silent, _foreign)}
"""Each is the whole story of a source. By whether any source brought lines of the session's kind of server since: then
the silence of another may be that of the other server's log."""

BESIDE: tuple[Callable[[Missed], str], ...] = (_dropping, _late, _growing, _ahead, _gappy)
"""These go together."""
