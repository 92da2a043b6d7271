"""The systemd journal, followed by `journalctl`: through rotation and vacuum, no entry lost, none twice.

Rules:
- `start` asks for the last entry there is: whatever the journal gets after it is new, whenever the follower starts.
- The place in the journal is the cursor of the last entry passed on. A follower that ends is started again there,
  inclusive, and the entry known already is left out (`--after-cursor` skips one too many in older versions).
- A follower follows once it brought an entry that is new, or was silent for CALM: one that only repeats the known entry
  and ends (a journal file that is broken behind it) does not.
- Where the entry at the cursor is gone the journal was vacuumed faster than it was read: a gap, counted and said.
- With a directory, entries of all boots and machines in it count (`--merge`): `--follow` alone means this boot.
- The child writes into a pipe that is read when the consumer asks; it ends with this process, however that ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from probe.evidence.events import Stamp
from probe.evidence.journald import FIELDS, entry
from probe.evidence.sources.backoff import Backoff
from probe.evidence.sources.child import Child
from probe.evidence.sources.descriptor import Wait
from probe.evidence.sources.source import MAX_LINE, Health, LineJoiner, Lines, State
from probe.evidence.sources.standing import Standing
from probe.model import Clock, as_written

ANSWER = 10.0
"""Seconds in which journalctl must tell the last entry; it is a matter of milliseconds unless a disk hangs."""

MOST_ANSWER = 8 * MAX_LINE
"""Bytes that this entry may have; the place cannot be told by a larger one."""

CALM = 1.0
"""A follower that is silent for so many seconds, and has not ended, follows."""

_GROUP = "may not be read: add the probe's user to the group systemd-journal and start it anew"
_TROUBLE: tuple[tuple[bytes, State, str], ...] = (
    (b"insufficient permissions", State.FAILED, _GROUP),
    (b"not seeing messages from other users", State.FAILED, _GROUP),
    (b"Permission denied", State.FAILED, _GROUP),
    (b"No such file or directory", State.WAITING, "does not exist yet; waiting for it: check `directory`"),
    (b"No such boot ID", State.WAITING, "has no entry yet; waiting for the first"),
    (b"No journal files were found", State.WAITING, "is not there yet; waiting for it: check where journald writes"),
)
"""What journalctl complains of, and what it means for a person."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Journal:
    """Which journal, and whose entries of it. `program` is the journalctl to run."""

    units: tuple[str, ...] = ()
    directory: Path | None = None
    namespace: str | None = None
    program: str = "journalctl"

    def __str__(self) -> str:
        directory = self.directory and as_written(self.directory)
        parts = [part for part in (directory, self.namespace, *self.units) if part]
        return ":".join(["journald", ",".join(parts)]) if parts else "journald"

    def last_entry(self) -> list[str]:
        """The call that prints the last entry among those that `entries_from` would print."""
        return self._command("--lines=1", *([] if self.directory else ["--boot"]))

    def entries_from(self, place: str) -> list[str]:
        """The call that prints all entries from a place on, and goes on doing so."""
        return self._command("--follow", "--no-tail", place)

    def _command(self, *options: str) -> list[str]:
        which = ["--merge", f"--directory={self.directory}"] if self.directory else []
        which += [f"--namespace={self.namespace}"] if self.namespace else []
        shown = ["--output=json", "--all", "--no-pager", f"--output-fields={','.join(FIELDS)}"]
        return [self.program, *which, *(f"--unit={unit}" for unit in self.units), *shown, *options]


class JournaldSource:
    """Follows one journal. See `Source` for the contract of its methods."""

    def __init__(self, journal: Journal, *, clock: Clock) -> None:
        self._journal = journal
        self._clock = clock
        self._standing = Standing(str(journal))
        self._backoff = Backoff(most=5.0)
        self._child: Child | None = None
        self._joiner = LineJoiner()
        self._begin = "--no-tail"
        self._cursor: str | None = None
        self._known: str | None = None
        self._reached = True
        self._wait = Wait()

    @property
    def name(self) -> str:
        """Label of its metrics and sightings."""
        return str(self._journal)

    @property
    def health(self) -> Health:
        """How it fares now."""
        return self._standing.health

    async def start(self) -> None:
        """Stand behind the last entry there is; if that cannot be told, at this moment."""
        moment = self._clock()
        try:
            child = Child(self._journal.last_entry())
        except OSError as error:
            self._begin = f"--since=@{moment:.6f}"
            self._missing(error)
            return
        try:
            last = await self._answer(child)
        finally:
            child.end()
        if last is None or (not last and child.complaints):
            self._begin = f"--since=@{moment:.6f}"
        for found in map(entry, (last or b"").splitlines()):
            self._cursor = found.cursor if found else None
        self._judge(child.complaints, otherwise=State.FOLLOWING)

    async def _answer(self, child: Child) -> bytes | None:
        """All that a call prints; None if it does not end in time, or prints more than one entry may have."""
        answer = b""
        try:
            async with asyncio.timeout(ANSWER):
                while len(answer) <= MOST_ANSWER and (chunk := await child.read(MAX_LINE, ANSWER)):
                    answer += chunk
        except TimeoutError:
            return None
        return answer if len(answer) <= MOST_ANSWER else None

    async def follow(self) -> AsyncIterator[Lines]:
        """The entries since `start`, as lines, until `close`."""
        while not self._wait.ended:
            child = self._child or self._open()
            chunk = await child.read(self._joiner.room, CALM) if child else b""
            if self._wait.ended:
                break
            if chunk:
                if lines := self._lines_of(self._joiner.feed(chunk)):
                    yield lines
                await asyncio.sleep(0)
            elif chunk is None:
                self._follows()
            else:
                await self._ended()
        self._end_child()

    def hurry(self, seconds: float) -> None:
        """journalctl is told of every entry at once."""

    async def close(self) -> None:
        """End the child; a running `follow` sees it and ends."""
        self._wait.end()
        self._end_child()

    # The child's life

    def _open(self) -> Child | None:
        place = f"--cursor={self._cursor}" if self._cursor else self._begin
        try:
            self._child = Child(self._journal.entries_from(place))
        except OSError as error:
            self._missing(error)
            return None
        self._joiner = LineJoiner()
        self._known, self._reached = self._cursor, self._cursor is None
        return self._child

    async def _ended(self) -> None:
        """The child is gone: say why, and wait before the next."""
        if self._child:
            complaints = self._child.complaints
            self._end_child()
            self._judge(complaints, otherwise=State.FAILED)
        await self._wait.pause(self._backoff.failed())

    def _end_child(self) -> None:
        if self._child:
            self._child.end()
            self._child = None

    # What it says

    def _lines_of(self, text: bytes) -> Lines | None:
        """The lines of whole entries that are not known yet; the cursor goes with them."""
        arrival = self._clock()
        lines: list[bytes] = []
        stamps: list[Stamp | None] = []
        is_on = False
        for printed in text.split(b"\n"):
            found = entry(printed)
            if found is None or not self._is_new(found.cursor):
                continue
            self._cursor, is_on = found.cursor, True
            if found.line is not None:
                lines.append(found.line)
                stamps.append(found.stamp)
        self._standing.cut(self._joiner.cut)
        self._joiner.cut = 0
        if is_on:
            self._follows()
        return self._standing.arrived(arrival, b"".join(lines), tuple(stamps)) if lines else None

    def _is_new(self, cursor: str) -> bool:
        """Everything but the entry that the child was started at, if that is still there."""
        first, self._reached = not self._reached, True
        if cursor == self._known:
            return False
        if first:
            self._standing.gap(
                "the journal was vacuumed faster than it was read",
                "give it more room (SystemMaxUse= in journald.conf)",
            )
        return True

    # What is said about it

    def _follows(self) -> None:
        self._backoff.succeeded()
        if self._child:
            self._judge(self._child.complaints, otherwise=State.FOLLOWING)

    def _missing(self, error: OSError) -> None:
        self._standing.tell(
            State.FAILED,
            f"{self._journal.program} cannot be run ({error.strerror}): run the probe on a machine with systemd, "
            "or use a source of another kind",
        )

    def _judge(self, complaints: bytes, *, otherwise: State) -> None:
        for sign, state, reason in _TROUBLE:
            if sign in complaints:
                self._standing.tell(state, f"the journal {reason}")
                return
        last = _last(complaints.splitlines())
        reason = f"journalctl ended: {last or 'it did not say why'}" if otherwise is State.FAILED else ""
        self._standing.tell(otherwise, reason, kind="ended")


def _last(lines: Sequence[bytes]) -> str:
    return lines[-1].decode("utf-8", "replace")[:300] if lines else ""
