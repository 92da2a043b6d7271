"""What every evidence source gives: whole log lines as they arrive, and how it fares. Nothing here parses.

Rules:
- `start` positions the source and returns quickly, before any session is opened: whatever is logged after it
  returned will be delivered. A log that does not exist yet is no error.
- `follow` is for one consumer at a time and may be cancelled at any await; a later `follow` goes on where the
  last one stopped. Nothing is fetched ahead of a slow consumer: a puller reads when asked, a pusher bounds its
  queue and counts what it must drop as a gap. It ends after `close`.
- Trouble (no file, no permission, no connection) never reaches the consumer: it is told by `health` and by one
  log line with the next step, and tried again.
- Every line ends with a newline and is at most MAX_LINE bytes with it. What is cut off a line is dropped, not
  passed on as a line of its own: clients choose parts of log lines, and a remainder could look like a real one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from probe.evidence.events import Stamp

MAX_LINE = 1 << 20


@dataclass(frozen=True, slots=True)
class Lines:
    """Whole lines, each ended by a newline, as they arrived together: one or more, at most MAX_LINE bytes in all.

    `arrival` is the probe's clock when they were read. `stamps` is empty, or has one entry per line: the time
    that the server beside the line told (Loki, Kubernetes, journald), None where it told none.
    """

    arrival: float
    text: bytes
    stamps: tuple[Stamp | None, ...] = ()


class State(StrEnum):
    """How a source fares."""

    WAITING = "waiting"
    FOLLOWING = "following"
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True, slots=True)
class Health:
    """A snapshot. `reason` says why it waits or failed and what to do; it is empty while following.

    `gaps` counts the times at which lines are or may be lost, `cut` the lines delivered in part. `deaf`: no line can
    come before somebody mends it; whoever waits for one may stop.
    """

    state: State
    reason: str = ""
    lines: int = 0
    last_line_at: float | None = None
    gaps: int = 0
    cut: int = 0
    deaf: bool = False


class Source(Protocol):
    """A stream of log lines. `name` labels its metrics and sightings: `file:/var/log/mail.log`."""

    @property
    def name(self) -> str: ...

    @property
    def health(self) -> Health: ...

    async def start(self) -> None:
        """Take position: what is logged from here on will be delivered."""

    def follow(self) -> AsyncIterator[Lines]:
        """The lines since `start`, as they arrive."""

    def hurry(self, seconds: float) -> None:
        """For so long, bring lines as soon as they are there: their arrival is to tell when they were written.

        A source that cannot go faster does nothing.
        """

    async def close(self) -> None:
        """Let go of files and connections; a running `follow` ends. May be called twice."""


class LineJoiner:
    """Makes whole lines out of chunks of at most `room` bytes; holds an incomplete last line.

    `skipping`: what comes up to the next line break is the rest of a line that was passed on already.

    >>> joiner = LineJoiner()
    >>> joiner.feed(b"a\\nb"), joiner.feed(b"c\\n")
    (b'a\\n', b'bc\\n')
    """

    __slots__ = ("cut", "held", "skipping")

    def __init__(self, held: bytes = b"", *, skipping: bool = False) -> None:
        self.held = held
        self.cut = 0
        self.skipping = skipping

    @property
    def room(self) -> int:
        """How many bytes the next chunk may have; at least one."""
        return MAX_LINE - len(self.held)

    def feed(self, chunk: bytes) -> bytes:
        """The whole lines that this chunk completes."""
        if self.skipping:
            rest = chunk.find(b"\n") + 1
            if not rest:
                return b""
            self.skipping = False
            chunk = chunk[rest:]
        end = chunk.rfind(b"\n") + 1
        if end:
            whole, self.held = self.held + chunk[:end], chunk[end:]
            return whole
        self.held += chunk
        return self.give_up() if len(self.held) >= MAX_LINE else b""

    def give_up(self) -> bytes:
        """Pass on the incomplete line as it is; whatever still comes of it is dropped."""
        if not self.held:
            return b""
        cut, self.held = self.held[: MAX_LINE - 1] + b"\n", b""
        self.cut += 1
        self.skipping = True
        return cut
