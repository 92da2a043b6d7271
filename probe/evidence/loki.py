"""Loki's HTTP API as values. Pure: bytes, status codes and header texts in; entries and reasons out.

Rules:
- query_range answers `{"status": …, "data": {"resultType": "streams", "result": [{"stream": labels, "values":
  [[nanoseconds, line], …]}]}}`, tail frames `{"streams": [the same], "dropped_entries": [{"timestamp": …}]}`.
- What is not of this form is Malformed as a whole: half an answer would be taken for all of it.
- An entry is one line: line breaks in it become `#012`, as rsyslog writes them, for a part could look like a real line.
- Texts of the server go into reasons one line long, short and printable.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from types import MappingProxyType
from typing import Any

from probe.evidence.events import Stamp
from probe.evidence.line import LONGEST

SECOND = 1_000_000_000
"""Loki counts nanoseconds since the epoch."""

_LATEST = 1 << 63
_NUMBERS = ("matrix", "vector", "scalar")
_LONGEST_TEXT = 200
_TOO_MANY = re.compile(r"max_entries_limit[^()]*\(\d+ > (\d{1,9})\)")
_SECONDS = re.compile(r"\d{1,9}")


class Malformed(Exception):
    """What came is not what Loki says."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A line in Loki. `stream` stands for the labels, `at` is nanoseconds on the shipper's clock."""

    at: int
    line: bytes
    stream: int
    cut: bool = False


@dataclass(frozen=True, slots=True)
class Frame:
    """What one message of a tail says; `dropped`: stamps of entries that Loki had to leave out."""

    entries: tuple[Entry, ...]
    dropped: tuple[int, ...] = ()


def page_of(body: bytes) -> tuple[Entry, ...]:
    """The entries in an answer of query_range, in the order of their stamps."""
    answer = _mapping(_parsed(body), "the answer")
    found = _mapping(answer.get("data"), "its data")
    kind = found.get("resultType")
    if kind in _NUMBERS:
        raise Malformed(f"the query gives a {kind} and not log lines: use a LogQL log query")
    if kind != "streams":
        raise Malformed("its resultType is none of Loki's")
    return _entries(found.get("result"))


def frame_of(text: str | bytes) -> Frame:
    """What a message of the tail says."""
    frame = _mapping(_parsed(text), "the frame")
    dropped = [_mapping(one, "a dropped entry") for one in _list(frame.get("dropped_entries"), "dropped_entries")]
    return Frame(_entries(frame.get("streams")), tuple(_nanoseconds(one.get("timestamp")) for one in dropped))


def stamp_of(at: int) -> Stamp:
    """When the shipper says that the line was logged; how many digits it has is all that tells how exactly."""
    resolution = 1.0 if at % SECOND == 0 else 1e-3 if at % 1_000_000 == 0 else 1e-6
    return Stamp(at / SECOND, resolution)


def largest_limit(reply: str) -> int | None:
    """How many entries a query may ask for, where a refusal says it.

    >>> largest_limit("max entries limit per query exceeded, limit > max_entries_limit (5000 > 1000)")
    1000
    """
    match = _TOO_MANY.search(reply)
    return max(1, int(match[1])) if match else None


def seconds_of(date: str | None) -> float | None:
    """The moment a Date header tells, to the second; None for anything else."""
    try:
        moment = parsedate_to_datetime(date or "")
        return moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None


def retry_after(text: str | None, *, now: float) -> float:
    """Seconds that a Retry-After header asks for, as a number or as a date; `now` is the server's clock."""
    if text is None:
        return 0.0
    if _SECONDS.fullmatch(text.strip()):
        return float(text)
    until = seconds_of(text)
    return max(0.0, until - now) if until is not None else 0.0


def reason_of(status: int, reply: str, meanings: Mapping[int, str] = MappingProxyType({})) -> str:
    """What a status other than 200 means and what to do, with what the server said. `meanings`: of what is no query."""
    said = f" ({shown(reply)})" if reply.strip() and "<" not in reply[:64] else ""
    if status == 401 and "no org id" in reply:
        return f"wants to know the tenant{said}: set `tenant`"
    meaning = {**_MEANINGS, **meanings}.get(status) or _CLASSES.get(
        status // 100, "gave an answer no Loki gives: check `url`"
    )
    return f"answered HTTP {status}{said}: {meaning}"


def shown(text: str) -> str:
    """A server's text on one line, short and printable."""
    plain = " ".join("".join(letter if letter.isprintable() else " " for letter in text[:4000]).split())
    return plain if len(plain) <= _LONGEST_TEXT else plain[: _LONGEST_TEXT - 1] + "…"


_MEANINGS = {
    400: "correct `query`, and try it in Grafana's Explore",
    401: "the credentials are refused: the token may have expired; renew bearer_token_file, or check username and "
    "password",
    403: "the credentials may not read these logs: allow them to, or check `tenant`",
    404: "there is no Loki API at this address: set `url` to its base, without /loki/api/v1",
    429: "too many requests for its limits; asking less often until it takes them again",
    502: "the proxy in front of Loki does not reach it: check that Loki runs",
    503: "Loki is not ready: it may be starting; check its /ready page",
    504: "Loki takes too long: make `query` more selective",
}
_CLASSES = {
    3: "it sends elsewhere, and credentials are not carried there: set `url` to the final address",
    4: "it refuses this request: check `url`, `tenant` and `query`",
    5: "Loki has trouble of its own: look into its log",
}


def _parsed(text: str | bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise Malformed("it is no complete JSON: a proxy may have cut it or answered itself") from None


def _entries(streams: object) -> tuple[Entry, ...]:
    found = [entry for stream in _list(streams, "the streams") for entry in _of_stream(_mapping(stream, "a stream"))]
    found.sort(key=lambda entry: entry.at)
    return tuple(found)


def _of_stream(stream: Mapping[str, Any]) -> Iterator[Entry]:
    labels = hash(frozenset((name, str(value)) for name, value in _mapping(stream.get("stream"), "labels").items()))
    for value in _list(stream.get("values"), "the values of a stream"):
        match value:
            case [str(at), str(text), *_]:
                line, cut = _line(text)
                yield Entry(_nanoseconds(at), line, labels, cut)
            case _:
                raise Malformed("an entry is no pair of time stamp and line")


def _line(text: str) -> tuple[bytes, bool]:
    """One line with its end, and whether something was cut off."""
    whole = text.rstrip("\r\n").encode("utf-8", "replace").replace(b"\n", b"#012")
    return whole[:LONGEST] + b"\n", len(whole) > LONGEST


def _nanoseconds(text: object) -> int:
    if not isinstance(text, str) or not text.isascii() or not text.isdigit() or len(text) > 19:
        raise Malformed("a time stamp is no number of nanoseconds")
    at = int(text)
    if at >= _LATEST:
        raise Malformed("a time stamp is no number of nanoseconds")
    return at


def _mapping(value: object, what: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise Malformed(f"{what} is no mapping")
    return value


def _list(value: object, what: str) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise Malformed(f"{what} are no list")
    return value
