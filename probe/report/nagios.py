"""A round as a monitoring plugin's output: one line for the pager, performance figures, then a line per session."""

from __future__ import annotations

from collections import Counter

from probe.model import Result, Round, Severity, Verdict


def render(done: Round) -> str:
    """`MAILPROBE CRITICAL - …|figures`, then one line per session (Monitoring Plugins guidelines, section 2)."""
    figures = " ".join(_figure(result) for result in done.results)
    first = f"MAILPROBE {done.severity.upper()} - {headline(done)} | {figures}"
    return "\n".join([first, *(_line(result) for result in done.results)])


def headline(done: Round) -> str:
    """The whole round in one clause: `vip/smtp masked, vip/imaps masked; 2 of 4 preserved`."""
    bad = [result for result in done.results if result.judgement.verdict.severity is not Severity.OK]
    counted = Counter(result.judgement.verdict for result in done.results)
    preserved = f"{counted[Verdict.PRESERVED]} of {len(done.results)} preserved"
    return "; ".join([", ".join(_name(result) for result in bad), preserved]) if bad else preserved


def _name(result: Result) -> str:
    by = f" by {result.judgement.masked_by}" if result.judgement.masked_by else ""
    return _safe(f"{result.session.path}/{result.session.service} {result.judgement.verdict}{by}")


def _line(result: Result) -> str:
    return _safe(f"{_name(result)}: {result.judgement.explanation}")


def _figure(result: Result) -> str:
    label = _safe(f"{result.session.path}/{result.session.service}").replace("'", "").replace("=", "")
    return f"'{label}'={result.session.seconds:.3f}s"


def _safe(text: str) -> str:
    """A pipe would start the performance figures, a newline another line."""
    return " ".join(text.replace("|", "/").split())
