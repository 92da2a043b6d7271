"""Headers of log lines that were understood once, so that the next one of their shape need not be parsed.

Rules of this file:
- A header is all in front of a message: down to the program, its pid and Dovecot's level. What follows a known one
  cannot change what it means; where it could (JSON, RFC 5424), it is not known, and its lines are parsed in full.
- Headers differ only in their digits. So a header is known by its shape: its octets, each digit a 0. No rule of line.py
  tells one digit from another, but for `<PRI>1 `: kept out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from probe.evidence.line import CARRIERS, parse_line
from probe.evidence.pattern import LEVEL

ZEROS = bytes(ord("0") if ord("0") <= octet <= ord("9") else octet for octet in range(256))
"""Makes a header its shape: `header.translate(ZEROS)`."""

_REMEMBERED = 8192
_LONGEST = 256
_LEVEL_X = re.compile(LEVEL + "x")


@dataclass(slots=True)
class Head:
    """What all headers of one shape say: where the program's name stands; `contained`: they are a container's."""

    program: slice
    contained: bool


UNKNOWN = Head(slice(0), contained=False)
"""Of headers that say nothing alone: each of their lines must be parsed in full."""


class Heads(dict[bytes, Head]):
    """By shape; `learn` adds one. What a header says hangs on nothing but itself, so one memory serves all logs."""

    def learn(self, header: bytes, ending: str) -> Head:
        """Understand a header in front of a message by a program with this ending."""
        if len(header) > _LONGEST or b"{" in header or b"<" in header:
            return UNKNOWN
        if len(self) >= _REMEMBERED:
            self.clear()
        head = self[header.translate(ZEROS)] = self._understood(header, ending)
        return head

    @staticmethod
    def _understood(header: bytes, ending: str) -> Head:
        line = parse_line(header + b"x", now=0.0)
        if not line or not _LEVEL_X.fullmatch(line.message) or CARRIERS.fullmatch(line.program):
            return UNKNOWN
        program, name = line.program.encode(), ending.lstrip("/ ").encode()
        end = header.rfind(name) + len(name)
        start = end - len(program)
        if header[start:end] != program or not f" {line.program}".endswith(ending):
            return UNKNOWN
        return Head(slice(start, end), contained=b" stdout " in header or b" stderr " in header)


HEADS = Heads()
