"""The last day of one endpoint as a strip, and in words for whoever does not see it.

The worse a stretch, the taller it stands, so the strip reads without its colours; a short outage keeps a width that is
seen. A verdict reaches to the session that last found it; a time in which nobody looked has none and is part of no
share. Sizes are attributes of the drawing, for no page holds a style.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, zip_longest

from probe.model import Severity
from probe.report.markup import Html, element
from probe.report.text import counted, span
from probe.service.ledger import Account
from probe.service.web.status import words_of

DAY = 86_400.0
WIDTH, HEIGHT = 1440, 24
NARROWEST = 5.0
MOST_STRETCHES = 240
TALL = {None: 3, Severity.OK: 7, Severity.UNKNOWN: 12, Severity.WARNING: 17, Severity.CRITICAL: HEIGHT}
WHOLE = 0.99 * DAY
"""So much of it is called the day."""

NOBODY_LOOKED = "nobody looked"


@dataclass(frozen=True, kw_only=True, slots=True)
class Stretch:
    """A time with one verdict, in seconds before now; one without a severity is a time in which nobody looked."""

    start: float
    end: float
    severity: Severity | None
    words: str

    @property
    def seconds(self) -> float:
        """How long."""
        return self.start - self.end


def stretches(account: Account, now: float) -> tuple[Stretch, ...]:
    """The last day, the oldest first; what was before the first verdict is not known and left out."""
    changes, lapse, told = account.changes, account.pace.lapse, account.told(now)
    found = []
    for change, following in zip_longest(changes, islice(changes, 1, None)):
        until = following.at if following else now
        is_whole = until - change.seen <= lapse and (following is not None or told is not None)
        seen = until if is_whole else change.seen
        words = words_of(change.verdict, change.masked_by)
        found += [
            _of_the_day(now - change.at, now - seen, change.verdict.severity, words),
            _of_the_day(now - seen, now - until, None, NOBODY_LOOKED),
        ]
    return tuple(one for one in found if one.seconds > 0)


def _of_the_day(start: float, end: float, severity: Severity | None, words: str) -> Stretch:
    return Stretch(start=min(start, DAY), end=max(end, 0.0), severity=severity, words=words)


def share(held: Sequence[Stretch]) -> float | None:
    """Which part of the time that is known about was fine; None: nothing is known."""
    looked = known(held)
    fine = sum(one.seconds for one in held if one.severity is Severity.OK)
    return fine / looked if looked > 0 else None


def percentage(part: float) -> str:
    """Never rounded up to all, nor down to nothing.

    >>> percentage(1.0), percentage(0.99999), percentage(0.00001)
    ('100 %', '99.9 %', '0.1 %')
    """
    return "100 %" if part == 1.0 else "0 %" if part == 0.0 else f"{min(max(part * 100, 0.1), 99.9):.1f} %"


def in_words(held: Sequence[Stretch]) -> str:
    """The strip for a screen reader."""
    part = share(held)
    if part is None:
        return "nothing is known of the last day"
    others: dict[str, list[Stretch]] = {}
    for one in held:
        if one.severity is not Severity.OK:
            others.setdefault(one.words, []).append(one)
    told = [
        f"{words} {span(sum(one.seconds for one in of))} in {counted(len(of), 'stretch', 'stretches')}"
        for words, of in others.items()
    ]
    return "; ".join((f"{percentage(part)} preserved of {span(known(held))}", *told))


def known(held: Sequence[Stretch]) -> float:
    """Seconds of the day in which somebody looked."""
    return sum(one.seconds for one in held if one.severity is not None)


def strip(name: str, held: Sequence[Stretch]) -> Html:
    """The drawing."""
    return element(
        "svg",
        element("rect", x=0, y=HEIGHT - 1, width=WIDTH, height=1, class_="ground"),
        [_bar(one) for one in (held if len(held) <= MOST_STRETCHES else _coarser(held))],
        class_="strip",
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        preserveAspectRatio="none",
        role="img",
        aria_label=f"{name}, last day: {in_words(held)}",
    )


def _bar(one: Stretch) -> Html:
    width = one.seconds / DAY * WIDTH
    if one.severity is not Severity.OK:
        width = max(width, NARROWEST)
    left = min(WIDTH - one.start / DAY * WIDTH, WIDTH - width)
    tall = TALL[one.severity]
    words = f"{one.words} for {span(one.seconds)}, until {span(one.end)} ago" if one.end else f"{one.words} now"
    return element(
        "rect",
        element("title", words),
        x=f"{left:.1f}",
        y=HEIGHT - tall,
        width=f"{width:.1f}",
        height=tall,
        class_=str(one.severity or "gap"),
    )


def _coarser(held: Sequence[Stretch]) -> Iterator[Stretch]:
    """The worst of each of MOST_STRETCHES pieces of the day."""
    order, size = [*Severity, None], DAY / MOST_STRETCHES
    for piece in range(MOST_STRETCHES, 0, -1):
        start, end = piece * size, (piece - 1) * size
        within = [one for one in held if one.start > end and one.end < start]
        if within:
            worst = min(within, key=lambda one: order.index(one.severity))
            yield Stretch(start=start, end=end, severity=worst.severity, words=worst.words)
