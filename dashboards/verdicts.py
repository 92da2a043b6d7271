"""How a verdict is shown: a number to take the worst by, the contract's word, a colour of its kind. Pure.

- The greater number is the worse: by severity; among critical ones those that keep everybody out come before those in
  which mail goes on with a wrong address, and these before a login that may be the probe's trouble alone; then in the
  order of the closed set. But for the login that is the order in which the daemon tells ports of one service.
- The word always stands beside the colour. Eight colours are told apart by people who see no red, no green or no blue
  (a test measures them); sixteen would not be.
"""

from __future__ import annotations

from enum import StrEnum

from grafana_foundation_sdk.models.dashboard import Threshold, ValueMap, ValueMappingResult

from probe.model import Severity, Verdict
from probe.verdict.served import SERVED, Served

NOT_JUDGED = 0
"""No session of this endpoint has been judged yet: every series of `mailprobe_verdict` is 0."""


class Kind(StrEnum):
    """What verdicts of one colour have in common, as the legend says it."""

    FINE = "the address arrives"
    NOT_JUDGED = "not judged yet"
    UNVERIFIED = "nothing proven"
    WARNING = "refused or broken at times"
    WRONG_ADDRESS = "mail flows, the address is wrong"
    SHUT = "nobody gets in"
    PROXY_HEADER = "the PROXY header is amiss"
    LOCKED = "TLS or login fails"


COLOURS = {
    Kind.FINE: "#009E73",
    Kind.NOT_JUDGED: "#4F555C",
    Kind.UNVERIFIED: "#B4B9BF",
    Kind.WARNING: "#F0E442",
    Kind.WRONG_ADDRESS: "#E66A00",
    Kind.SHUT: "#C8102E",
    Kind.PROXY_HEADER: "#0072B2",
    Kind.LOCKED: "#7CC4F5",
}

KINDS = {
    Verdict.PRESERVED: Kind.FINE,
    Verdict.MASKED: Kind.WRONG_ADDRESS,
    Verdict.SILENT_DROP: Kind.SHUT,
    Verdict.UNANNOUNCED: Kind.SHUT,
    Verdict.REFUSED: Kind.SHUT,
    Verdict.PROXY_HEADER_TIMEOUT: Kind.PROXY_HEADER,
    Verdict.PROXY_HEADER_UNEXPECTED: Kind.PROXY_HEADER,
    Verdict.PROXY_HEADER_UNTRUSTED: Kind.PROXY_HEADER,
    Verdict.SPOOFABLE: Kind.WRONG_ADDRESS,
    Verdict.NO_GREETING: Kind.SHUT,
    Verdict.TLS_FAILED: Kind.LOCKED,
    Verdict.LOGIN_FAILED: Kind.LOCKED,
    Verdict.RATE_LIMITED: Kind.WARNING,
    Verdict.SERVICE_ERROR: Kind.WARNING,
    Verdict.RESOLVE_FAILED: Kind.SHUT,
    Verdict.UNVERIFIED: Kind.UNVERIFIED,
}


CRITICAL = tuple(verdict for verdict in Verdict if verdict.severity is Severity.CRITICAL)
PERHAPS_THE_PROBE_ALONE = (Verdict.LOGIN_FAILED, Verdict.RATE_LIMITED, Verdict.SERVICE_ERROR)
"""Where somebody is kept out, and others may well get in: a password that has expired is the probe's own."""

KEEPS_OUT = tuple(
    verdict for verdict in CRITICAL if SERVED[verdict] is not Served.YES and verdict not in PERHAPS_THE_PROBE_ALONE
)
MILDER = tuple(verdict for verdict in Verdict if verdict.severity in (Severity.WARNING, Severity.UNKNOWN))


def _badness(verdict: Verdict) -> tuple[int, bool, bool, bool]:
    severity = tuple(Severity).index(verdict.severity)
    return severity, verdict not in KEEPS_OUT, verdict in PERHAPS_THE_PROBE_ALONE, verdict is Verdict.MASKED


WORST_FIRST = tuple(sorted(Verdict, key=_badness))
CODES = {verdict: len(WORST_FIRST) - rank for rank, verdict in enumerate(WORST_FIRST)}


def colour(verdict: Verdict) -> str:
    """The colour of its kind."""
    return COLOURS[KINDS[verdict]]


def value_mapping() -> ValueMap:
    """From the numbers to words and colours, the worst first."""
    shown = {str(CODES[verdict]): (verdict.value, colour(verdict)) for verdict in WORST_FIRST}
    shown[str(NOT_JUDGED)] = (Kind.NOT_JUDGED.value, COLOURS[Kind.NOT_JUDGED])
    return ValueMap(
        options={
            number: ValueMappingResult(text=text, color=colour, index=index)
            for index, (number, (text, colour)) in enumerate(shown.items())
        }
    )


def severity_steps() -> list[Threshold]:
    """The same numbers as thresholds, by severity, for whatever knows no value mappings."""
    critical = min(CODES[verdict] for verdict in CRITICAL)
    return [
        Threshold(value=None, color=COLOURS[Kind.NOT_JUDGED]),
        Threshold(value=CODES[Verdict.PRESERVED], color=COLOURS[Kind.FINE]),
        Threshold(value=CODES[Verdict.UNVERIFIED], color=COLOURS[Kind.UNVERIFIED]),
        Threshold(value=CODES[Verdict.UNVERIFIED] + 1, color=COLOURS[Kind.WARNING]),
        Threshold(value=critical, color=COLOURS[Kind.WRONG_ADDRESS]),
    ]
