r"""Syslog over a stream: bytes as they come -> messages, each one whole (RFC 6587). Pure.

Rules of this file:
- Each message says itself how it ends: `83 <22>…` has 83 bytes (octet counting), anything else ends with a newline
  or NUL (non-transparent framing). Senders may mix both.
- A count counts only before a priority, and below ten million: a message without a header may begin with a number, as
  a date does (`20261125 <mail> …`), and would swallow as many bytes of what follows.
- A stream is syslog's once a message of it, whole or not, began with a priority: a port scan's bytes are no message.
- A message over LONGEST is dropped and counted, whole or not, and the next one is read.
- What is incomplete when the stream ends is no message: half a line may look like another one.

>>> Frames().feed(b"<22>one\n7 <22>two<22>three\n<22>fo")
[b'<22>one', b'<22>two', b'<22>three']
"""

from __future__ import annotations

import re

LONGEST = 1 << 16
"""Bytes of a message. A stranger's half lines are held for each connection, so this is less than a file may have."""

_COUNTED = re.compile(rb"([1-9]\d{0,6}) (?=<\d{1,3}>)")
_MAYBE_COUNTED = re.compile(rb"[1-9]\d{0,6}(?: (?:<\d{0,3})?)?")
_END = re.compile(rb"[\n\0]")
_BEGIN = re.compile(rb"<\d{1,3}>")
_PRIORITY = re.compile(rb"\A<\d{1,3}>(?!1 )")


class Frames:
    """Takes one stream apart. `dropped` counts messages that were too long; `is_syslog`: a priority was seen."""

    __slots__ = ("_held", "_skipped", "_skipping", "dropped", "is_syslog")

    def __init__(self) -> None:
        self.dropped = 0
        self.is_syslog = False
        self._held = b""
        self._skipped = 0
        self._skipping = False

    @property
    def incomplete(self) -> bool:
        """True if the stream has begun a message that is not whole yet."""
        return bool(self._held) or self._skipping or self._skipped > 0

    def feed(self, chunk: bytes) -> list[bytes]:
        """The messages that this chunk completes; empty ones are none."""
        held = self._held + chunk
        at = 0
        found: list[bytes] = []
        while at < len(held):
            end = self._skip(held, at) if self._skipped or self._skipping else self._next(held, at, found)
            if end is None:
                break
            at = end
        self._held = held[at:]
        return found

    def _next(self, held: bytes, at: int, found: list[bytes]) -> int | None:
        """Read one message: where it ends, None if it is not whole yet."""
        counted = _COUNTED.match(held, at)
        self.is_syslog = self.is_syslog or bool(counted or _BEGIN.match(held, at))
        if counted:
            return self._counted(held, counted.end(), int(counted[1]), found)
        if (maybe := _MAYBE_COUNTED.match(held, at)) and maybe.end() == len(held):
            return None
        ended = _END.search(held, at)
        if (ended.start() if ended else len(held)) - at > LONGEST:
            self.dropped += 1
            self._skipping = True
            return at
        if ended and ended.start() > at:
            found.append(held[at : ended.start()])
        return ended.end() if ended else None

    def _counted(self, held: bytes, begin: int, length: int, found: list[bytes]) -> int | None:
        if length > LONGEST:
            self.dropped += 1
            self._skipped = length
            return begin
        end = begin + length
        if len(held) < end:
            return None
        found.append(held[begin:end])
        return end

    def _skip(self, held: bytes, at: int) -> int:
        """Pass over the rest of a message that is too long."""
        if self._skipped:
            end = min(len(held), at + self._skipped)
            self._skipped -= end - at
            return end
        ended = _END.search(held, at)
        self._skipping = ended is None
        return ended.end() if ended else len(held)


def line_of(message: bytes) -> bytes:
    r"""One line of log for one message, without RFC 3164's priority; empty for an empty message.

    >>> line_of(b"<22>Nov 23 19:51:44 mail postfix/smtpd[7]: connect\n")
    b'Nov 23 19:51:44 mail postfix/smtpd[7]: connect\n'
    """
    text = _PRIORITY.sub(b"", message.rstrip(b"\r\n\0 "))
    return text.replace(b"\n", b"#012") + b"\n" if text else b""
