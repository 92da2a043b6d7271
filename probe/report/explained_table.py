"""What saved logs show, for people: conclusions first, then the counts behind them, then what to do next.

A log holds strangers' words. What of it is shown has its control characters escaped: none may move a terminal's cursor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from itertools import islice

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from probe.evidence.clients import MOST_USERS
from probe.model import (
    NO_CLIENTS,
    STAND_INS,
    Caller,
    Clients,
    Explained,
    Finding,
    Headcount,
    Listener,
    Reading,
    Severity,
    Trouble,
    Whose,
    in_all,
)
from probe.report.table import STYLES

MOST_INSIDE = 8
MOST_PUBLIC = 4
MOST_TROUBLES = 20
LONGEST_SHOWN = 300


def render(explained: Explained, console: Console) -> None:
    """Print it to a console of the caller's."""
    for part in _parts(explained):
        console.print(part)


def plain(text: str) -> str:
    r"""Text that a terminal shows and does not obey.

    >>> plain("a\x1b[2Jb\u202e")
    'a\\x1b[2Jb\\u202e'
    """
    cut = text if len(text) <= LONGEST_SHOWN else text[:LONGEST_SHOWN] + "…"
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in cut)


def _parts(explained: Explained) -> Iterator[RenderableType]:
    for finding in explained.findings:
        yield from _conclusion(finding)
    yield Text()
    yield Text(_summary(explained))
    if explained.clients.listeners:
        yield Text()
        yield _listeners(explained.clients)
        yield Text()
        yield _callers(explained.clients)
    if explained.clients.troubles:
        yield Text()
        yield _troubles(explained.clients.troubles)
    yield from _puzzles(explained.reading)
    yield from _next(explained.findings)


def _conclusion(finding: Finding) -> Iterator[Text]:
    style = STYLES[finding.severity]
    yield Text.assemble((f"{finding.severity.upper()}: ", style), plain_sentence(finding.sentence))
    if finding.first and finding.severity is not Severity.OK:
        yield Text(f"  First line: {plain(finding.first)}", style="dim")


def plain_sentence(text: str) -> str:
    """The same for a sentence, which may be long but holds names of files and listeners."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def _summary(explained: Explained) -> str:
    reading, clients = explained.reading, explained.clients
    by = in_all(clients.listeners)
    total = sum(count.clients for count in by.values())
    addresses = f"{'more than ' if clients.forgotten else ''}{clients.addresses:,}"
    many = f"{_several(total, 'client')} from {addresses} address{'' if clients.addresses == 1 else 'es'}"
    stand_ins = sum(count.clients for whose, count in by.items() if whose in STAND_INS)
    if explained.named and total:
        many += f", {stand_ins:,} of them ({stand_ins / total:.0%}) from nodes, pods, gateways or proxies"
    files = f" in {len(reading.logs)} files" if len(reading.logs) > 1 else ""
    nameless = sum(listener.nameless for listener in clients.listeners)
    gone = f", {nameless:,} more gone before their address was known" if nameless else ""
    return f"{many}{gone}; {_several(reading.lines, 'line')}{files}{_span(reading)}"


def _span(reading: Reading) -> str:
    if reading.since is None or reading.until is None:
        return ", without time stamps"
    since, until = (
        datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S") for seconds in (reading.since, reading.until)
    )
    return f", {since} to {until} ({_duration(reading.until - reading.since)})"


def _duration(seconds: float) -> str:
    for unit, length in (("days", 86400.0), ("hours", 3600.0), ("minutes", 60.0)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s"


def _several(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _table(*columns: str, left: int) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for place, column in enumerate(columns):
        table.add_column(column, justify="left" if place < left else "right", no_wrap=True)
    return table


def _listeners(clients: Clients) -> Table:
    """A row per listener, a column per network that somebody came from."""
    total = in_all(clients.listeners)
    table = _table("clients by listener", *total, "all", "spoke", "began", left=1)
    for listener in clients.listeners:
        name = plain(listener.name) + (" (from postscreen)" if listener.behind else "")
        table.add_row(name, *_row(listener.by, tuple(total), told=_is_told(listener)))
    if len(clients.listeners) > 1:
        table.add_row("each once", *_row(total, tuple(total), told=True), style="bold")
    return table


def _row(by: Mapping[Whose, Headcount], networks: tuple[Whose, ...], *, told: bool) -> list[str]:
    cells = [_number(by[whose].clients) if whose in by else "-" for whose in networks]
    every = sum(by.values(), start=NO_CLIENTS)
    return [*cells, _number(every.clients), *([_number(every.spoke), _number(every.began)] if told else ["?", "?"])]


def _is_told(listener: Listener) -> bool:
    """postscreen does not tell what its clients did."""
    return not listener.name.endswith("/postscreen")


def _number(number: int) -> str:
    return f"{number:,}"


def _callers(clients: Clients) -> Table:
    table = _table("most clients from", "network", "listener", "clients", "spoke", "began", "users", left=3)
    inside = _most(clients, MOST_INSIDE, lambda caller: caller.whose is not Whose.PUBLIC)
    public = _most(clients, MOST_PUBLIC, lambda caller: caller.whose is Whose.PUBLIC)
    for caller, listener in inside + public:
        table.add_row(*_caller(caller, listener))
    return table


def _most(clients: Clients, most: int, wanted: Callable[[Caller], bool]) -> list[tuple[Caller, Listener]]:
    """Those with most clients. Each listener has its own in this order, so a few of each are enough to look at."""
    found = [
        (caller, listener)
        for listener in clients.listeners
        for caller in islice((caller for caller in listener.callers if wanted(caller) and caller.count.clients), most)
    ]
    return sorted(found, key=lambda pair: -pair[0].count.clients)[:most]


def _caller(caller: Caller, listener: Listener) -> list[str]:
    count = caller.count
    done = [_number(count.spoke), _number(count.began)] if _is_told(listener) else ["?", "?"]
    users = "?" if caller.whose is Whose.PUBLIC else f"{caller.users}{'+' if caller.users >= MOST_USERS else ''}"
    return [str(caller.address), caller.whose, plain(listener.name), _number(count.clients), *done, users]


def _troubles(troubles: tuple[Trouble, ...]) -> Table:
    table = _table("faults in the log", "listener", "network", "lines", "first addresses", left=3)
    table.columns[-1].justify = "left"
    for trouble in sorted(troubles, key=lambda trouble: -trouble.count)[:MOST_TROUBLES]:
        some = ", ".join(str(address) for address in trouble.addresses[:3]) or "-"
        whose = trouble.whose or "-"
        table.add_row(trouble.sign.replace("_", " "), plain(trouble.listener), whose, _number(trouble.count), some)
    return table


def _puzzles(reading: Reading) -> Iterator[Text]:
    if reading.puzzles:
        yield Text()
        yield Text("not understood", style="bold")
    for puzzle in reading.puzzles:
        yield Text(f"{_several(puzzle.count, 'line')}: {plain(puzzle.kind)}")
        if puzzle.first:
            yield Text(f"  {plain(puzzle.first)}", style="dim")


def _next(findings: tuple[Finding, ...]) -> Iterator[Text]:
    hints = dict.fromkeys(finding.hint for finding in findings if finding.hint and finding.severity is not Severity.OK)
    if hints:
        yield Text()
        yield Text("next", style="bold")
    for hint in hints:
        yield Text(f"  → {hint}", style="italic")
