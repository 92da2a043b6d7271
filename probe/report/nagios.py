"""A round as a monitoring plugin's output: one line for the pager, performance figures, then a line per session."""

from __future__ import annotations

from probe.model import Result, Round
from probe.report.headline import headline, outcome


def render(done: Round) -> str:
    """`MAILPROBE CRITICAL - …|figures`, then one line per session (Monitoring Plugins guidelines, section 2)."""
    figures = " ".join(_figure(result) for result in done.results)
    first = f"MAILPROBE {done.severity.upper()} - {_safe(headline(done))} | {figures}"
    return "\n".join([first, *(_line(result) for result in done.results)])


def _name(result: Result) -> str:
    return f"{result.session.path}/{result.session.service}"


def _line(result: Result) -> str:
    cause = f" Cause: {result.judgement.cause}" if result.judgement.cause else ""
    return _safe(f"{_name(result)} {outcome(result.judgement)}: {result.judgement.explanation}{cause}")


def _figure(result: Result) -> str:
    label = _safe(_name(result)).replace("'", "").replace("=", "")
    return f"'{label}'={result.session.seconds:.3f}s"


def _safe(text: str) -> str:
    """A pipe would start the performance figures, a newline another line."""
    return " ".join(text.replace("|", "/").split())
