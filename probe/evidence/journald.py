"""One entry of the systemd journal, as `journalctl --output=json` prints it -> the syslog line it stands for.

Rules of this file:
- The line is the one that the syslog server on that machine would have written, with journald's microseconds.
- What a program does not choose freely is made safe: host and program stand in the header, so whatever would end it
  early is replaced. Newlines in a message become `#012`, as rsyslog writes them: one entry is one line.
- A container's output carries a header of its own below the runtime's: its line is CRI's, which says so.
- A field that is not UTF-8 is an array of its bytes; a field that is there twice is an array of both.

>>> entry(b'{"MESSAGE":"connect","SYSLOG_IDENTIFIER":"postfix/smtpd","_PID":"7","_HOSTNAME":"mail",'
...       b'"__REALTIME_TIMESTAMP":"1795463504214409","__CURSOR":"s=1;i=4"}').line
b'2026-11-23T19:51:44.214409Z mail postfix/smtpd[7]: connect\\n'
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime

from probe.evidence import stamp
from probe.evidence.events import Stamp

FIELDS = (
    "MESSAGE",
    "SYSLOG_IDENTIFIER",
    "SYSLOG_PID",
    "_PID",
    "_HOSTNAME",
    "_SOURCE_REALTIME_TIMESTAMP",
    "CONTAINER_ID",
    "CONTAINER_NAME",
    "CONTAINER_PARTIAL_MESSAGE",
)
"""All that is read of an entry, besides cursor and time, which are always there."""

_TIME = ("_SOURCE_REALTIME_TIMESTAMP", "__REALTIME_TIMESTAMP")
_UNSAFE = re.compile(rb"[\s:\[\](){}<>\"|]")
_LONGEST_NAME = 128


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry: where it stands in the journal, the line it stands for (None without a message), and its time."""

    cursor: str
    line: bytes | None
    stamp: Stamp | None


def entry(text: bytes) -> Entry | None:
    """Read one line of journalctl's output; None for what is no entry."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    cursor = found.get("__CURSOR") if isinstance(found, dict) else None
    if not isinstance(cursor, str):
        return None
    message = _bytes(found.get("MESSAGE"))
    microseconds = next((int(found[key]) for key in _TIME if _is_time(found.get(key))), None)
    taken = stamp.counted(microseconds) if microseconds is not None else None
    if message is None or microseconds is None or taken is None:
        return Entry(cursor, None, taken)
    return Entry(cursor, _header(found, microseconds) + _on_one_line(message), taken)


def _header(found: dict[str, object], microseconds: int) -> bytes:
    """A syslog header; CRI's where a container runtime wrote the entry or nobody named a program."""
    seconds, fraction = divmod(microseconds, 1_000_000)
    time = f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{fraction:06d}Z ".encode()
    program = _name(found.get("SYSLOG_IDENTIFIER"))
    if not program or "CONTAINER_ID" in found or "CONTAINER_NAME" in found:
        return time + (b"stdout P " if found.get("CONTAINER_PARTIAL_MESSAGE") == "true" else b"stdout F ")
    host = _name(found.get("_HOSTNAME"))
    pid = next((found[key] for key in ("SYSLOG_PID", "_PID") if _is_count(found.get(key))), "")
    return time + (host or b"-") + b" " + program + (f"[{pid}]: ".encode() if pid else b": ")


def _is_count(value: object) -> bool:
    return isinstance(value, str) and len(value) <= 18 and value.isascii() and value.isdigit()


def _is_time(value: object) -> bool:
    """Microseconds since the epoch; another unit, or a time before 1973 or after 5138, is a broken field."""
    return _is_count(value) and 10**14 <= int(str(value)) < 10**17


def _name(value: object) -> bytes:
    """A host's or program's name that can stand in a header."""
    return _UNSAFE.sub(b"_", _bytes(value) or b"")[:_LONGEST_NAME]


def _on_one_line(message: bytes) -> bytes:
    return message.rstrip(b"\r\n\0 ").replace(b"\n", b"#012").replace(b"\r", b"#015") + b"\n"


def _bytes(value: object) -> bytes | None:
    match value:
        case str():
            return value.encode("utf-8", "replace")
        case [str() as first, *_] | [list() as first, *_]:
            return _bytes(first)
        case list() if all(type(byte) is int and 0 <= byte < 256 for byte in value):
            return bytes(value)
        case _:
            return None
