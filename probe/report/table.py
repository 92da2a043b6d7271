"""A round as a table for people, with what each bad verdict means and what to do next below it."""

from __future__ import annotations

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from probe.model import Result, Round, Severity
from probe.report.nagios import headline

STYLES = {Severity.OK: "green", Severity.WARNING: "yellow", Severity.CRITICAL: "bold red", Severity.UNKNOWN: "magenta"}
MARKS = {Severity.OK: "✓", Severity.WARNING: "!", Severity.CRITICAL: "✗", Severity.UNKNOWN: "?"}


def render(done: Round, console: Console) -> None:
    """Print the table to a console of the caller's."""
    console.print(as_renderable(done))


def as_renderable(done: Round) -> RenderableType:
    """The table, the explanations, and one closing line."""
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for heading in ("path", "service", "verdict", "seen as", "link"):
        table.add_column(heading, no_wrap=heading != "seen as")
    table.add_column("seconds", justify="right", no_wrap=True)
    for result in done.results:
        table.add_row(*_cells(result))
    style = STYLES[done.severity]
    closing = Text(f"{done.severity.upper()}: {headline(done)} ({done.seconds:.1f} s)", style=style)
    return Group(table, *_remarks(done), Text(), closing)


def _cells(result: Result) -> tuple[Text, ...]:
    session, judgement = result.session, result.judgement
    severity = judgement.verdict.severity
    by = f" by {judgement.masked_by}" if judgement.masked_by else ""
    seen = sorted({str(sighting.address) for sighting in result.evidence.sightings})
    links = dict.fromkeys(str(sighting.link) for sighting in result.evidence.sightings)
    return (
        Text(session.path),
        Text(session.service),
        Text(f"{MARKS[severity]} {judgement.verdict}{by}", style=STYLES[severity]),
        Text(", ".join(seen) or "-"),
        Text(", ".join(links) or "-"),
        Text(f"{session.seconds:.2f}"),
    )


def _remarks(done: Round) -> list[Text]:
    """Sessions that say the same share one remark."""
    remarks: dict[tuple[str, str], list[Result]] = {}
    for result in done.results:
        if result.judgement.verdict.severity is not Severity.OK:
            remarks.setdefault((result.judgement.explanation, result.judgement.hint), []).append(result)
    lines = []
    for (explanation, hint), results in remarks.items():
        names = ", ".join(f"{result.session.path}/{result.session.service}" for result in results)
        style = STYLES[results[0].judgement.verdict.severity]
        lines += [Text(), Text.assemble((names, style), f"  {explanation}"), Text(f"  → {hint}", style="italic")]
    return lines
