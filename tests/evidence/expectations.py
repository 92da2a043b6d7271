"""Real log lines with what they must give, in tests/logs/*.log.

A line that begins with `#: ` holds the expectation, as JSON, of the line after it: the pattern that decides and the
event's fields, or null for a line that is known and ignored. Lines that begin with `# ` are for the reader.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from probe.evidence import dovecot, postfix
from probe.evidence.events import Event, SessionId
from probe.evidence.line import parse_line
from probe.evidence.pattern import Pattern
from probe.model import Count, Peer

LOGS = Path(__file__).parents[1] / "logs"
NOW = 1795392000.0  # 2026-11-23 00:00 UTC, some hours after the samples

Plain = dict[str, object]
"""An expectation, as JSON has it."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A line and what is expected of it."""

    file: str
    number: int
    raw: bytes
    expected: Plain | None

    def __str__(self) -> str:
        return f"{self.file}:{self.number}"


def samples() -> Iterator[Sample]:
    """All samples of all files; a line without an expectation is an error."""
    for path in sorted(LOGS.glob("*.log")):
        expected: str | None = None
        for number, raw in enumerate(path.read_bytes().split(b"\n"), start=1):
            if raw.startswith(b"#: "):
                expected = raw[3:].decode()
            elif raw and not raw.startswith(b"# "):
                if expected is None:
                    raise ValueError(f"{path.name}:{number} has no expectation")
                yield Sample(path.name, number, raw, json.loads(expected))
                expected = None


def pattern_of(raw: bytes) -> Pattern | None:
    """The row of a PATTERNS table that decides about a line."""
    line = parse_line(raw, now=NOW)
    found = (postfix.TABLE.find(line) or dovecot.TABLE.find(line)) if line else None
    return found[0] if found else None


def plain(event: Event | None) -> Plain | None:
    """An event as JSON has it; fields without a value are left out."""
    if event is None:
        return None
    said = {field.name: _plain(getattr(event, field.name)) for field in fields(event)}
    return {"event": type(event).__name__} | {name: value for name, value in said.items() if value is not None}


def _plain(value: object) -> object:
    match value:
        case Peer():
            return str(value)
        case SessionId():
            return f"{value.opened:.6f} {value.peer}"
        case Count(accepted, total):
            return str(total) if accepted == total else f"{accepted}/{total}"
        case Mapping():
            return {str(key): _plain(inner) for key, inner in value.items()}
    return value
