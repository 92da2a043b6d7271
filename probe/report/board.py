"""A watch while it goes on: a board that is drawn again and again on a terminal, lines of what happens anywhere else.

The board has a row for each endpoint: what it is now, how long it has been out, the last minutes as a strip, its
latest session. It fits the terminal: a narrow one leaves out the session, then the strip; a low one the endpoints
that are well. Every cell of a strip says by its height what it was, so that no colour is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple, TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from probe.model import Edge, Gap, GapKind, Severity, Watched, WatchedEndpoint
from probe.report.table import STYLES
from probe.report.text import both_ends, one_line, span
from probe.report.watched_words import MARKS, Times, blinds, ends, exactly, kind, length, limited, moved, proved, when
from probe.verdict.ending import awaited, closing, given_up_at, longest, nears_its_end
from probe.verdict.shown import how, lasting, real_outages, standing, turned_into

Show = Callable[[Watched], None]

BEGAN = "the baseline is there: watching, the change may begin"
"""What people and scripts wait for before they change anything."""

OVER = "from now on --until-stable counts"
NOT_CLOSING = "not all are ok any more: --until-stable counts anew"
GIVES_UP = "not all are ok, and nobody has gone or come back for a minute: if that stays so, it ends at {at}"

STRIP_SECONDS, SHORTEST_STRIP = 180.0, 30.0
"""Seconds that a strip shows; of a watch that has just begun fewer, but so many at least."""

WIDEST_STRIP = 60
NARROWEST_STRIP = 8
SESSION_WIDTH = 34
STATE_WIDTH = 22
SHORT_STATE = len("✗ silent_drop")
CLOCK_WIDTH = len("999999 s")
GUTTERS = 4
GUTTERS_WITHOUT_STRIP = 2
TENTHS_UP_TO = 1_000.0

FINE, SESSION_BAD, OUT, UNSEEN = "▁", "▅", "█", " "
STRIP_STYLES = {FINE: "green", SESSION_BAD: "yellow", OUT: "bold red", UNSEEN: ""}
ROWS_AROUND = 8


@contextmanager
def shown(stream: TextIO, times: Times, waits: Callable[[], bool] = lambda: False) -> Iterator[Show]:
    """What shows a watch on this stream: a board if it is a terminal that can draw, lines if not.

    `waits`: whether nobody has read the last picture yet; then no other is drawn.
    """
    console = Console(file=stream, highlight=False)
    if not stream.isatty() or console.is_dumb_terminal:
        yield Lines(stream, times).show
        return
    with Live(Text(""), console=console, transient=True, auto_refresh=False) as live:
        yield Pictures(live, times, waits).show


class Pictures:
    """The board, drawn again and again; above it stays what is waited for, and since when the change may begin."""

    def __init__(self, live: Live, times: Times, waits: Callable[[], bool]) -> None:
        self._live = live
        self._times = times
        self._waits = waits
        self._began = False
        self._again: str | None = None

    def show(self, watched: Watched) -> None:
        """Draw it as it is now, unless the last picture still waits."""
        if self._waits():
            return
        console, again = self._live.console, limited(watched, self._times)
        if again not in (None, self._again):
            self._again = again
            console.print(Text(f"{self._times.stamp(watched.until)} {again}"))
        if watched.began is not None and watched.ending is None and not self._began:
            self._began = True
            console.print(Text(f"{self._times.stamp(watched.began)} {BEGAN}"))
        self._live.update(board(watched, console.width, console.height), refresh=True)


@dataclass(frozen=True, slots=True)
class Widths:
    """Columns of each part of a row; 0: it is left out."""

    name: int
    state: int
    strip: int
    session: int

    @classmethod
    def on(cls, width: int, names: Sequence[str]) -> Widths:
        """What fits on a terminal so wide: the name and the state always, then the strip, then the session."""
        longest_name = max(map(len, names), default=0)
        name = min(longest_name, max(width // 3, 10))
        left = width - name - CLOCK_WIDTH - GUTTERS
        state = min(STATE_WIDTH, left)
        strip = left - state
        if strip < NARROWEST_STRIP:
            return cls._without_strip(width - CLOCK_WIDTH - GUTTERS_WITHOUT_STRIP, longest_name)
        session = SESSION_WIDTH if strip >= SESSION_WIDTH + NARROWEST_STRIP else 0
        return cls(name, state, min(strip - session, WIDEST_STRIP), session)

    @classmethod
    def _without_strip(cls, room: int, longest_name: int) -> Widths:
        """The name has what a short state leaves over."""
        name = min(longest_name, max(room - SHORT_STATE, room // 3))
        return cls(name, max(min(STATE_WIDTH, room - name), 1), 0, 0)


def board(watched: Watched, width: int, height: int) -> RenderableType:
    """All rows as they are now."""
    rows = list(watched.endpoints)
    room = max(height - ROWS_AROUND, 1)
    hidden = max(0, len(rows) - room)
    if hidden:
        worst = sorted(rows, key=lambda one: list(Severity).index(standing(one, watched.until)[0]))[:room]
        rows = [one for one in rows if one in worst]
    widths = Widths.on(width, [str(one.name) for one in rows])
    grid = Table.grid(padding=(0, 1))
    sizes = [size for size in (widths.name, widths.state, CLOCK_WIDTH, widths.strip, widths.session) if size]
    for size in sizes:
        grid.add_column(no_wrap=True, overflow="ellipsis", width=size)
    for endpoint in rows:
        grid.add_row(*_row(watched, endpoint, widths)[: len(sizes)])
    more = [Text(f"… and {hidden} more, not worse than these", style="dim")] if hidden else []
    return Group(_head(watched, width), grid, *more, *_foot(watched, width, legend=bool(widths.strip)))


def _row(watched: Watched, endpoint: WatchedEndpoint, widths: Widths) -> tuple[Text, ...]:
    severity, state = standing(endpoint, watched.until)
    out = _seconds_out(endpoint, watched.until)
    clock = "" if out is None else f"{out:.{1 if out < TENTHS_UP_TO else 0}f} s"
    told = Text(f"{MARKS[severity]} {state}", style=STYLES[severity])
    strip = strip_of(watched, endpoint, widths.strip)
    latest = endpoint.samples[-1] if endpoint.samples else None
    ago = f"{proved(latest)}, {span(watched.until - latest.at)} ago" if latest else ""
    session = Text(one_line(ago, max(widths.session, 1)), style="dim")
    return Text(both_ends(str(endpoint.name), widths.name)), told, Text(clock, style="bold red"), strip, session


def _seconds_out(endpoint: WatchedEndpoint, until: float) -> float | None:
    """Seconds for which it has certainly been out, also as what it was before it changed; by sessions, if it lasts."""
    lasts = [gap for gap in real_outages(endpoint) if gap.ended is None] if lasting(endpoint) else []
    return max(0.0, until - lasts[-1].stretches[-1].start) if lasts else None


def strip_of(watched: Watched, endpoint: WatchedEndpoint, width: int) -> Text:
    """The last minutes, oldest first; each cell shows the worst of its time."""
    text = Text()
    seconds = min(STRIP_SECONDS, max(watched.until - watched.started, SHORTEST_STRIP))
    each = seconds / width if width else 0.0
    stretches = [_stretch(gap) for gap in endpoint.gaps]
    since = endpoint.knocked_since if endpoint.knocked_since is not None else float("inf")
    recent = [one for one in stretches if one.end > watched.until - seconds]
    for number in range(width):
        start = watched.until - (width - number) * each
        fine = FINE if start + each > since else UNSEEN
        cell = max((one.sign for one in recent if one.start < start + each and one.end > start), default=fine)
        text.append(cell, style=STRIP_STYLES[cell])
    return text


class _Stretch(NamedTuple):
    """A gap as a strip shows it; of two signs in one cell the higher one is shown."""

    start: float
    end: float
    sign: str


def _stretch(gap: Gap) -> _Stretch:
    end = float("inf") if gap.ended is None else gap.ended.moment
    return _Stretch(gap.began.moment, end, OUT if gap.kind is GapKind.UNREACHABLE else SESSION_BAD)


def _head(watched: Watched, width: int) -> Text:
    phase = "watching" if watched.began is not None else "baseline: one session each"
    text = f"{phase} for {span(watched.until - (watched.began or watched.started))}"
    gap = longest(watched)
    if gap is not None:
        text += f", longest outage {gap.seconds:.1f} s"
    return Text(one_line(text, width), style="bold")


def _foot(watched: Watched, width: int, *, legend: bool) -> list[Text]:
    wanted = watched.wanted
    told = [ends(watched)] if ends(watched) else []
    if wanted.max_outage is not None:
        told.append(f"fails past {wanted.max_outage:g} s out")
    told.append("Ctrl-C ends it and reports")
    latest = {str(one.address): one.value for one in watched.announcers}
    announcers = [f"{address} announced by {value}" for address, value in latest.items()]
    strips = f"{FINE} fine  {SESSION_BAD} session bad  {OUT} no answer" if legend else ""
    beside = "; ".join(told)
    lines = [*announcers, *([beside] if len(beside) <= width else told), strips]
    return [Text(one_line(line, width), style="dim") for line in lines if line]


class Lines:
    """What happens, a line each: what the baseline was, who went, who came back, what sessions prove now."""

    def __init__(self, stream: TextIO, times: Times) -> None:
        self._stream = stream
        self._times = times
        self._told: dict[tuple[object, ...], str] = {}
        self._closing: float | None = None

    def show(self, watched: Watched) -> None:
        """Say what is new since the last time."""
        for key, moment, line in self._happenings(watched):
            if self._told.get(key) != line:
                self._told[key] = line
                self._stream.write(f"{self._times.stamp(moment)} {line}\n")
        self._stream.flush()

    def _happenings(self, watched: Watched) -> Iterator[tuple[tuple[object, ...], float, str]]:
        for endpoint in watched.endpoints:
            yield from self._of_endpoint(endpoint)
        for one in watched.announcers:
            key = ("announcer", one.address, one.edge.by)
            yield key, one.edge.by, f"{one.address} is announced by {one.value}"
        for line in blinds(watched, self._times):
            yield ("blind", line), watched.until, line
        for move in watched.moves:
            yield ("moved", move.host, move.edge.by), move.edge.by, moved(move, self._times)
        again = limited(watched, self._times)
        if again is not None:
            yield ("again",), watched.until, again
        if watched.began is not None and watched.ending is None:
            yield ("began",), watched.began, BEGAN
        if watched.change_over is not None:
            yield ("over",), watched.change_over, f"process {watched.wanted.process} has ended: {OVER}"
        yield from self._of_the_end(watched)

    def _of_the_end(self, watched: Watched) -> Iterator[tuple[tuple[object, ...], float, str]]:
        """What the end waits for, and that it does not any more."""
        moment, near, latest = closing(watched), nears_its_end(watched), given_up_at(watched)
        if self._closing is not None and moment != self._closing:
            yield ("not closing", self._closing), watched.until, NOT_CLOSING
            self._closing = None
        if awaited(watched) and moment is not None and latest is not None:
            self._closing, last = moment, ("closing", moment)
            told = self._told.get(last) or f"{ends(watched)}; it ends by {self._times.clock(latest)} whatever they show"
            yield last, watched.until, told
        if near is not None:
            yield ("near", near), watched.until, GIVES_UP.format(at=self._times.clock(near))

    def _of_endpoint(self, endpoint: WatchedEndpoint) -> Iterator[tuple[tuple[object, ...], float, str]]:
        for gap in endpoint.gaps:
            key = (endpoint.name, gap.kind, gap.began.by)
            yield (*key, "went"), gap.began.by, self._told.get((*key, "went")) or self._went(gap)
            if gap.ended is not None:
                told = self._told.get((*key, "back")) or self._back(gap, gap.ended, endpoint.gaps)
                yield (*key, "back"), gap.ended.by, told
        latest = endpoint.latest
        if latest is not None:
            line = f"{endpoint.name} {proved(latest)}"
            yield (endpoint.name, "proved"), latest.at, line

    def _went(self, gap: Gap) -> str:
        if gap.kind is GapKind.UNREACHABLE:
            return f"{gap.endpoint} went {exactly(gap.began, self._times)}: {how(gap)}"
        if gap.kind is GapKind.WAITED:
            return f"{gap.endpoint} kept a session waiting from {self._times.clock(gap.began.by)} on"
        if gap.kind is GapKind.TURNED_AWAY:
            return f"{gap.endpoint} has turned sessions away since {exactly(gap.began, self._times)}: {how(gap)}"
        return f"{gap.endpoint} has been critical since {exactly(gap.began, self._times)}: {kind(gap)}"

    def _back(self, gap: Gap, ended: Edge, gaps: Sequence[Gap]) -> str:
        after = turned_into(gap, gaps)
        if after is not None:
            now = f"{how(after)} from {self._times.clock(ended.by)} on"
            return f"{gap.endpoint}: {now}, after {length(gap)} ({kind(gap)})"
        if gap.kind is GapKind.UNREACHABLE:
            return f"{gap.endpoint} came back {when(ended, self._times)} after {length(gap)} ({kind(gap)})"
        if gap.kind is GapKind.WAITED:
            return f"{gap.endpoint} served it {when(ended, self._times)}, after {length(gap)}"
        what = "turns no session away any more" if gap.kind is GapKind.TURNED_AWAY else "is not critical any more"
        return f"{gap.endpoint} {what}, {exactly(ended, self._times)}, after {length(gap)} ({kind(gap)})"
