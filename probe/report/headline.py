"""A round in one clause, for whoever has one line only. Pure."""

from __future__ import annotations

from collections import Counter

from probe.model import Judgement, Round, Severity, Verdict


def headline(done: Round) -> str:
    """The whole round in one clause: `vip/smtp masked by node, vip/imaps refused; 2 of 4 preserved`."""
    bad = [result for result in done.results if result.judgement.verdict.severity is not Severity.OK]
    named = (f"{result.session.path}/{result.session.service} {outcome(result.judgement)}" for result in bad)
    counted = Counter(result.judgement.verdict for result in done.results)
    preserved = f"{counted[Verdict.PRESERVED]} of {len(done.results)} preserved"
    return "; ".join([", ".join(named), preserved]) if bad else preserved


def outcome(judgement: Judgement) -> str:
    """The verdict, and whose address it is: `masked by node`."""
    return f"{judgement.verdict} by {judgement.masked_by}" if judgement.masked_by else judgement.verdict
