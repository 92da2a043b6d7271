"""A watch as tables for people: where each endpoint stands, every outage with its edges, who announced."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from probe.model import Ending, Gap, Severity, Watched
from probe.report.table import STYLES
from probe.report.text import one_line, visible
from probe.report.watched_words import (
    ENDINGS,
    MARKS,
    Times,
    addresses,
    announced,
    cadences,
    clients,
    held,
    kind,
    length,
    sessions,
    total,
    when,
)
from probe.verdict.shared import shared
from probe.verdict.watched import conclude, standing

MOST_LISTED = 40
"""Outages that are listed, the longest first to be chosen."""

NARROW = 70


def render(watched: Watched, console: Console, times: Times) -> None:
    """Print it to a console of the caller's."""
    console.print(as_renderable(watched, times, width=console.width))


def as_renderable(watched: Watched, times: Times, *, width: int) -> RenderableType:
    """The tables, what is known besides, and one closing line."""
    if watched.ending is Ending.BASELINE:  # its sessions are told as those of `--once` are
        return Text()
    listed = _listed(watched)
    parts: list[RenderableType] = [_endpoints(watched, narrow=width < NARROW)]
    if listed:
        parts += [Text(), _outages(listed, times, narrow=width < NARROW)]
        parts += [Text(total(watched, listed))] if total(watched, listed) else []
        parts += [*_together(watched, times), *_causes(listed)]
    done = conclude(watched)
    closing = Text(f"{done.severity.upper()}: {done.sentence}", style=STYLES[done.severity])
    return Group(
        *parts, Text(), *(Text(visible(line), style="dim") for line in _beside(watched, times)), Text(), closing
    )


def _endpoints(watched: Watched, *, narrow: bool) -> Table:
    table = _table("path", "service", "at the end", *(() if narrow else ("outages", "out for", "clients' addresses")))
    for endpoint in watched.endpoints:
        severity, state = standing(endpoint)
        out = f"{endpoint.seconds_out:.1f} s" if endpoint.gaps else "-"
        port = "" if endpoint.name.port == endpoint.name.service.default_port else f":{endpoint.name.port}"
        row = [
            Text(one_line(endpoint.name.path)),
            Text(f"{endpoint.name.service}{port}"),
            Text(f"{MARKS[severity]} {state}", style=STYLES[severity]),
        ]
        more = [Text(str(len(endpoint.gaps) + endpoint.untold)), Text(out), Text(addresses(endpoint))]
        table.add_row(*row, *(() if narrow else more))
    return table


def _listed(watched: Watched) -> list[Gap]:
    gaps = [gap for endpoint in watched.endpoints for gap in endpoint.gaps]
    chosen = sorted(gaps, key=lambda gap: -gap.seconds)[:MOST_LISTED]
    return sorted(chosen, key=lambda gap: (gap.began.moment, str(gap.endpoint)))


def _outages(listed: list[Gap], times: Times, *, narrow: bool) -> Table:
    table = _table("outage", "went", "came back", *(() if narrow else ("length", "what it was")))
    for gap in listed:
        style = STYLES[Severity.CRITICAL]
        back = when(gap.ended, times) if gap.ended else "not yet"
        row = [Text(str(gap.endpoint), style=style), Text(when(gap.began, times)), Text(back)]
        table.add_row(*row, *(() if narrow else (Text(length(gap)), Text(kind(gap)))))
    return table


def _together(watched: Watched, times: Times) -> Iterator[Text]:
    for one in shared(watched.endpoints):
        if one.ended is not None and one.began.after is not None:
            told = f"{one.seconds:.2f} s ± {one.bound:.2f}, from {when(one.began, times)} to {when(one.ended, times)}"
            yield Text(f"{one.path}: all {one.endpoints} endpoints together, if for one reason: {told}")


def _causes(listed: list[Gap]) -> Iterator[Text]:
    """What sessions in the outages say of them, each sentence once."""
    for gap in {(_said(gap)): gap for gap in listed if gap.judgement}.values():
        judgement = gap.judgement
        if judgement is not None:
            yield Text()
            yield Text(f"{gap.endpoint}: {judgement.verdict}", style=STYLES[judgement.verdict.severity])
            yield Text(visible(f"  {judgement.explanation}"))
            if judgement.cause:
                yield Text(visible(f"  Cause: {judgement.cause}"), style="bold")
            yield Text(visible(f"  → {judgement.hint}"), style="italic")


def _said(gap: Gap) -> tuple[str, str | None, str | None]:
    judgement = gap.judgement
    return (gap.endpoint.path, judgement.rule, judgement.cause) if judgement else (gap.endpoint.path, None, None)


def _beside(watched: Watched, times: Times) -> Iterator[str]:
    for standing_one in watched.announcers:
        yield announced(standing_one, times)
    for standing_one in watched.nodes:
        yield held(standing_one, times)
    for name, what in cadences(watched):
        yield f"{name}: {what}"
    yield sessions(watched)
    others = clients(watched)
    if others:
        yield f"in the servers' logs meanwhile: {others}"
    yield from watched.notes
    ending = ENDINGS.get(watched.ending, "") if isinstance(watched.ending, Ending) else "it goes on"
    span = watched.until - watched.started
    yield f"watched for {span:.0f} s from {times.day(watched.started)} at {watched.vantage}; {ending}"


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for heading in headings:
        table.add_column(heading, no_wrap=heading not in ("clients' addresses", "what it was", "at the end"))
    return table
