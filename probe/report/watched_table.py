"""A watch as tables for people: where each endpoint stands, every outage with its edges, who announced."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console, Group, RenderableType
from rich.text import Text

from probe.model import Ending, Gap, Severity, Watched, WatchedEndpoint
from probe.report.rows import Row, Rows
from probe.report.table import STYLES
from probe.report.text import counted, one_line, visible
from probe.report.watched_words import (
    ENDINGS,
    MARKS,
    Times,
    addresses,
    announced,
    blinds,
    cadences,
    clients,
    held,
    kind,
    length,
    moved,
    over,
    sessions,
    total,
    went,
    when,
)
from probe.verdict.shared import shared
from probe.verdict.shown import real_outages, seconds_out, standing, turned_into
from probe.verdict.watched import conclude

MOST_LISTED = 40
"""Outages that are listed, the longest first to be chosen."""

ENDPOINTS = ("path", "service", "at the end", "outages", "out for", "clients' addresses")


def render(watched: Watched, console: Console, times: Times) -> None:
    """Print it to a console of the caller's."""
    console.print(as_renderable(watched, times))


def as_renderable(watched: Watched, times: Times) -> RenderableType:
    """The tables, what is known besides, and one closing line."""
    if watched.ending is Ending.BASELINE:  # its sessions are told as those of `--once` are
        return Text()
    listed = _listed(watched)
    parts: list[RenderableType] = [Rows(ENDPOINTS, [_of_endpoint(one, watched.until) for one in watched.endpoints])]
    if listed:
        parts += [Text(), _outages(watched, listed, times)]
        parts += [Text(total(watched, listed))] if total(watched, listed) else []
        parts += [*_together(watched, times), *_causes(listed)]
    done = conclude(watched)
    closing = Text(f"{done.severity.upper()}: {done.sentence}", style=STYLES[done.severity])
    return Group(
        *parts, Text(), *(Text(visible(line), style="dim") for line in _beside(watched, times)), Text(), closing
    )


def _of_endpoint(endpoint: WatchedEndpoint, until: float) -> Row:
    severity, state = standing(endpoint, until)
    out = f"{seconds_out(endpoint):.1f} s" if real_outages(endpoint) else "-"
    port = "" if endpoint.name.port == endpoint.name.service.default_port else f":{endpoint.name.port}"
    path, service = one_line(endpoint.name.path), f"{endpoint.name.service}{port}"
    count, proof = len(real_outages(endpoint)) + endpoint.untold, Text(addresses(endpoint))
    stands = Text(f"{MARKS[severity]} {state}", style=STYLES[severity])
    told = Text(f"{counted(count, 'outage')}, out for {out}" if count else "no outage")
    cells = (Text(path), Text(service), stands, Text(str(count)), Text(out), proof)
    return Row(cells, (Text(f"{path}/{service}"), stands, told, proof))


def _listed(watched: Watched) -> list[Gap]:
    gaps = [gap for endpoint in watched.endpoints for gap in endpoint.gaps]
    chosen = sorted(gaps, key=lambda gap: -gap.seconds)[:MOST_LISTED]
    return sorted(chosen, key=lambda gap: (gap.began.moment, str(gap.endpoint)))


def _outages(watched: Watched, listed: list[Gap], times: Times) -> Rows:
    zone = times.offset(watched.started)
    headings = ("outage", f"went ({zone})", f"came back ({zone})", "length", "what it was")
    return Rows(headings, [_of_outage(gap, listed, times) for gap in listed])


def _of_outage(gap: Gap, listed: list[Gap], times: Times) -> Row:
    name = Text(str(gap.endpoint), style=STYLES[Severity.CRITICAL])
    began, back = went(gap, times), over(gap, listed, times)
    cells = (name, Text(began), Text(back), Text(length(gap)), Text(kind(gap)))
    came = "until" if turned_into(gap, listed) else "came back"
    edges = f"went {began}, " + (f"{came} {back}" if gap.ended else "not back yet")
    edges += f" ({times.offset(gap.began.by)})"
    return Row(cells, (name, Text(edges), Text(length(gap)), Text(kind(gap))))


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
    for move in watched.moves:
        yield moved(move, times)
    for standing_one in watched.announcers:
        yield announced(standing_one, times)
    for standing_one in watched.nodes:
        yield held(standing_one, times)
    yield from blinds(watched, times)
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
