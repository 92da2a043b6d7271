"""JSON around a log line: Docker's json-file, journald, Fluentd, Vector, Loki's and Promtail's.

Rules of this file:
- The keys are a table; the first that is there wins. Nothing is guessed from other keys.
- A program named beside the text is the line's program: the text is then its message and no header is looked for,
  unless the program is one that only carries others' lines (line.py knows which).
- Docker cuts lines at 16 KiB; a cut line has no newline at its end.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from probe.evidence import stamp
from probe.evidence.events import Stamp

_TEXT = ("MESSAGE", "log", "message", "msg", "line")
_PROGRAM = ("SYSLOG_IDENTIFIER", "ident", "program", "appname", "app-name", "syslog_identifier")
_PID = ("SYSLOG_PID", "_PID", "pid", "procid")
_TIME = (
    "_SOURCE_REALTIME_TIMESTAMP",
    "__REALTIME_TIMESTAMP",
    "time",
    "timestamp",
    "@timestamp",
    "ts",
)
_ON_SERVER = ("MESSAGE", "log")
_CONTAINER = ("CONTAINER_ID", "CONTAINER_NAME")
DOCKER_CUT = 16 * 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class Wrapped:
    """What a JSON object says about the line in it.

    `on_server`: journald or Docker took the stamp, on the machine the line is from. `cut`: the line goes on in the
    next object.
    """

    text: bytes
    program: str | None
    pid: int | None
    stamp: Stamp | None
    on_server: bool
    cut: bool


def unwrap(text: bytes, *, now: float) -> Wrapped | None:
    """Take a line out of its JSON; None if it is not JSON or holds no line."""
    try:
        found = json.loads(text.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None
    line = _text(_first(found, _TEXT))
    if line is None:
        return None
    program = _first(found, _PROGRAM)
    return Wrapped(
        text=line,
        program=program if isinstance(program, str) and program and not _first(found, _CONTAINER) else None,
        pid=_pid(_first(found, _PID)),
        stamp=_stamp(_first(found, _TIME), now),
        on_server=any(key in found for key in _ON_SERVER),
        cut="log" in found and len(line) >= DOCKER_CUT and not line.endswith(b"\n"),
    )


def _first(found: dict[str, object], keys: tuple[str, ...]) -> object:
    return next((found[key] for key in keys if key in found), None)


def _text(value: object) -> bytes | None:
    """journald writes a message that is not UTF-8 as an array of its bytes."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace")
    if isinstance(value, list) and all(type(byte) is int and 0 <= byte < 256 for byte in value):
        return bytes(value)
    return None


def _pid(value: object) -> int | None:
    text = str(value) if isinstance(value, int | str) and not isinstance(value, bool) else ""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 10 else None


def _stamp(value: object, now: float) -> Stamp | None:
    if isinstance(value, str):
        if value.isascii() and value.isdigit() and len(value) <= 20:
            return stamp.counted(int(value))
        return stamp.written(value.encode("utf-8", "replace")[:64], now=now)
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e20:
        return stamp.counted(value)
    return None
