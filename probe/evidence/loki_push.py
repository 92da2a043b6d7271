"""What is pushed to Loki as values, and how it refuses. Pure.

The body of POST /loki/api/v1/push is `{"streams": [{"stream": labels, "values": [[nanoseconds, line], …]}]}`. Within a
stream lines go in order; the same line with the same stamp again is no second line to Loki, so a batch may be sent
twice.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from probe.evidence.loki import SECOND

MEANINGS: Mapping[int, str] = {
    400: "it takes no such lines: check `labels`, and Loki's limits on the age and the rate of lines",
    403: "the credentials may not write: allow them to, or check `tenant`",
    413: "the lines are too large for it, or for the proxy in front of it: raise its limit",
    422: "it takes no such lines: check `labels`",
    429: "too many lines for its limits; they are sent again later",
    504: "Loki takes too long: look at its load",
}
"""Where they differ from those of a query."""

_FINAL = ("http 400", "http 413", "http 422")


@dataclass(frozen=True, kw_only=True, slots=True)
class Pushed:
    """One line. `at`: seconds since the epoch."""

    at: float
    labels: Mapping[str, str]
    line: str


def body_of(batch: Iterable[Pushed]) -> bytes:
    """The body that pushes these lines."""
    streams: dict[tuple[tuple[str, str], ...], list[list[str]]] = {}
    for one in batch:
        nanoseconds = round(one.at * 1_000_000) * (SECOND // 1_000_000)
        streams.setdefault(tuple(one.labels.items()), []).append([str(nanoseconds), one.line])
    told = [{"stream": dict(labels), "values": values} for labels, values in streams.items()]
    return json.dumps({"streams": told}).encode()


def is_final(kind: str) -> bool:
    """True for a refusal of the lines themselves, which they would meet again; not one of the sender or the moment.

    >>> is_final("http 400"), is_final("http 401"), is_final("http 429"), is_final("http 500"), is_final("timeout")
    (True, False, False, False, False)
    """
    return kind in _FINAL
