"""The timeline of a watch as SVG: a row for each endpoint, a band for who announced, an axis. Pure.

- A drawing never stands alone: its label says in words what it shows, and heights differ as colours do.
- Low and green: SYNs were answered. Full height and red: they were not; paler where it is not known which. Two thirds
  and yellow: answered, but sessions were critical, turned away or served late. Half and grey: nobody knocked. Nothing:
  before the first knock. Ticks on top: sessions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from probe.model import Gap, GapKind, Span, Standing, Watched, WatchedEndpoint
from probe.report.markup import Html, element
from probe.report.watched_words import Times, exactly, kind, length, proved, runs, went, when
from probe.verdict import shown
from probe.verdict.served import MILD

WIDE, HIGH = 1000, 40
THIN = 2.5
"""The least width of what is drawn, of WIDE: a gap of a second in an hour must be seen."""

TOP = 12
"""Above it are the sessions, below it what knocks found."""


@dataclass(frozen=True, slots=True)
class Bar:
    """How a stretch is drawn: its class in the style sheet, its height, and the least width at which it is seen."""

    name: str
    height: int
    least: float = THIN


FINE = Bar("fine", 10)
BLIND = Bar("blind", 16)
BAD = Bar("bad", 20)
OUT = Bar("gap", HIGH - TOP)
UNSURE = Bar("unsure", HIGH - TOP, least=0.0)

STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 43_200, 86_400)
MOST_TICKS = 6
MOST_DRAWN = 400


@dataclass(frozen=True, slots=True)
class Frame:
    """The stretch of time that is drawn."""

    start: float
    end: float

    def x(self, moment: float) -> float:
        """Where a moment is, cut to the frame."""
        share = (moment - self.start) / max(self.end - self.start, 0.001)
        return round(min(max(share, 0.0), 1.0) * WIDE, 2)

    def holds(self, start: float, end: float) -> bool:
        """Whether any of a stretch is within."""
        return start < self.end and end > self.start


def timeline(watched: Watched, frame: Frame, times: Times) -> Html:
    """All rows and the axis."""
    rows = [_row(endpoint, frame, watched, times) for endpoint in watched.endpoints]
    bands = [
        _band(watched, address, frame, times) for address in dict.fromkeys(one.address for one in watched.announcers)
    ]
    return element("div", element("ul", bands, rows, class_="rows"), _axis(frame, times))


def close_up(watched: Watched) -> Frame | None:
    """A stretch around the longest outage without answers, where it is short beside the whole watch."""
    gaps = [gap for one in watched.endpoints for gap in one.gaps if gap.kind is GapKind.UNREACHABLE and gap.ended]
    longest = max(gaps, key=lambda gap: gap.seconds, default=None)
    if longest is None or longest.ended is None:
        return None
    around = max(longest.seconds / 4, 1.0)
    start, end = longest.began.moment - around, longest.ended.moment + around
    frame = Frame(max(start, watched.started), min(end, watched.until))
    return frame if (frame.end - frame.start) < (watched.until - watched.started) / 2 else None


def _row(endpoint: WatchedEndpoint, frame: Frame, watched: Watched, times: Times) -> Html:
    gaps = [gap for gap in endpoint.gaps if frame.holds(gap.began.moment, _end(gap, watched))]
    drawn = element(
        "svg",
        list(_marks(endpoint, gaps, frame, watched)),
        viewBox=f"0 0 {WIDE} {HIGH}",
        preserveAspectRatio="none",
        class_="strip",
        role="img",
        aria_label=_label(endpoint, gaps, times),
    )
    whole = [gap for gap in shown.outages(endpoint) if frame.holds(gap.began.moment, _end(gap, watched))]
    lasts = " and lasting" if any(gap.ended is None for gap in whole) else ""
    longest = max(whole, key=lambda gap: (gap.kind not in MILD, gap.seconds), default=None)
    out = f"{shown.length(longest)}{lasts}" if longest else "no outage"
    return element("li", element("span", str(endpoint.name), class_="name"), drawn, element("span", out, class_="out"))


def _marks(endpoint: WatchedEndpoint, gaps: list[Gap], frame: Frame, watched: Watched) -> Iterator[Html]:
    if endpoint.knocked_since is not None:
        yield _rect(frame, endpoint.knocked_since, watched.until, FINE)
    for blind in endpoint.blind:
        if frame.holds(blind.start, blind.end):
            yield _rect(frame, blind.start, blind.end, BLIND)
    for gap in gaps[-MOST_DRAWN:]:
        if gap.kind is not GapKind.UNREACHABLE:
            yield _rect(frame, gap.began.by, gap.seen if gap.ended else watched.until, BAD)
    for gap in gaps[-MOST_DRAWN:]:
        if gap.kind is GapKind.UNREACHABLE:
            yield from _unreachable(gap, frame, watched)
    for sample in endpoint.samples:
        if frame.start <= sample.at <= frame.end:
            x = min(frame.x(sample.at), WIDE - 3.0)
            severity = sample.verdict.severity
            yield element("rect", x=x, y=0, width=3, height=TOP - 3, class_=f"session {severity}")


def _unreachable(gap: Gap, frame: Frame, watched: Watched) -> Iterator[Html]:
    *before, last = gap.stretches
    if gap.began.after is not None:
        yield _rect(frame, gap.began.after, gap.began.by, UNSURE)
    if gap.ended and gap.ended.after is not None:
        yield _rect(frame, gap.ended.after, gap.ended.by, UNSURE)
    yield from (_rect(frame, one.start, one.end, UNSURE) for one in gap.unseen)
    for one in (*before, last if gap.ended else Span(last.start, watched.until)):
        yield _rect(frame, one.start, one.end, OUT)


def _rect(frame: Frame, start: float, end: float, bar: Bar) -> Html:
    left, right = frame.x(start), frame.x(end)
    width = round(max(right - left, bar.least), 2)
    y = HIGH - bar.height
    return element("rect", x=min(left, WIDE - width), y=y, width=width, height=bar.height, class_=bar.name)


def _end(gap: Gap, watched: Watched) -> float:
    return watched.until if gap.ended is None else gap.ended.moment


def _label(endpoint: WatchedEndpoint, gaps: list[Gap], times: Times) -> str:
    """What the drawing shows, in words."""
    told = [_gap_in_words(gap, times) for gap in gaps[:10]]
    more = f" and {len(gaps) - 10} more" if len(gaps) > 10 else ""
    outages = "; ".join(told) + more if told else "no outage"
    proofs = ", then ".join(f"{proved(run.first)} in {run.count}" for run in runs(endpoint)[:6])
    return f"{endpoint.name}: {outages}. Sessions: {proofs or 'none'}."


def _gap_in_words(gap: Gap, times: Times) -> str:
    until = when(gap.ended, times) if gap.ended else "the end of the watch"
    return f"{kind(gap)} from {went(gap, times)} to {until}, {length(gap)}"


def _band(watched: Watched, address: object, frame: Frame, times: Times) -> Html:
    """Who announced an address, as a row of labelled stretches."""
    known = [one for one in watched.announcers if one.address == address]
    parts = []
    for number, one in enumerate(known):
        start = watched.started if one.edge.after is None else one.edge.moment
        end = known[number + 1].edge.moment if number + 1 < len(known) else watched.until
        if frame.holds(start, end):
            parts.append(_stretch(one, (frame.x(start), frame.x(end)), times))
    name = element("span", f"{address} announced by", class_="name")
    return element("li", name, element("div", parts, class_="band"), element("span", class_="out"))


def _stretch(one: Standing, ends: tuple[float, float], times: Times) -> Html:
    left, right = ends
    since = "" if one.edge.after is None else f", {exactly(one.edge, times)}"
    style = f"left:{left / 10:.2f}%;width:{(right - left) / 10:.2f}%"
    return element("span", one.value, style=style, title=f"{one.value}{since}")


def _axis(frame: Frame, times: Times) -> Html:
    seconds = max(frame.end - frame.start, 0.001)
    step = next((step for step in STEPS if seconds / step <= MOST_TICKS), STEPS[-1])
    first = (frame.start + times.shift) // step * step + step - times.shift
    ticks = [element("span", times.clock(frame.start)[:-2], style="left:0%")]
    moment = first
    while moment < frame.end:
        share = frame.x(moment) / 10
        if 12 < share < 96:
            ticks.append(element("span", times.clock(moment)[:-2], style=f"left:{share:.2f}%"))
        moment += step
    return element("div", ticks, class_="axis", aria_hidden="true")
