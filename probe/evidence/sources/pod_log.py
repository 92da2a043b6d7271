"""The log of one container of one pod, read over the API until the pod is gone: no line lost, no line doubled.

Rules:
- The server's stamps say where we are (seen.py): after any break the log is read again from shortly before the latest
  line, and what is known is left out. So every stream but the first begins with a line that we know.
- One that does not is another log: of the container's next run (then the rest of the run before is fetched first,
  `previous=true`), of another pod of the same name (then this reader is done), or what a rotation left (a gap). The
  pod's status tells which; it may lag behind, so the stream waits for it, `Patience.settle` at most.
- A kubelet sends no header before the first line, so a stream that does not answer is a quiet log. After
  `Patience.quiet` without a byte it is opened anew: the connection may be dead.
- A stream shows that the log can be read by a line, or by lasting for LASTED; its header alone shows nothing, for a
  proxy may have sent it. After MOST_EMPTY streams in a row that showed nothing the log cannot be read.
- A line without a stamp is the kubelet's or a stranger's word, and no log line. A line that was cut off by a break
  comes again whole; one longer than MAX_LINE is left out and counted as cut.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, aclosing, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from math import floor
from typing import TYPE_CHECKING, TypeVar

from probe.evidence import stamp
from probe.evidence.events import Stamp
from probe.evidence.sources.backoff import LONGEST, Backoff
from probe.evidence.sources.pods import Pod
from probe.evidence.sources.seen import MARGIN, Seen
from probe.evidence.sources.source import MAX_LINE, LineJoiner, Lines, State
from probe.kubernetes.ask import Ask, Refusal
from probe.model import Clock

if TYPE_CHECKING:
    from probe.kubernetes.api import Api

NOT_KEPT = "the API keeps the log of a pod that exists, and of one run before: see why the connection was lost"
ROTATED = "raise the kubelet's containerLogMaxSize, and see why the connection was lost"
LASTED = 1.0
"""Seconds after which a stream without a line is one of a quiet log."""

MOST_EMPTY = 5
_MOST_QUOTED = 4096
_NOT_FOUND = 404
_NO_SUCH_LOG = (400, _NOT_FOUND)
_NOT_THIS_POD_S = (None, 401, 403)
"""Refusals that say nothing of one pod: all are told alike, so that they are told once."""

_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True, slots=True)
class Patience:
    """All bounds of time, in seconds.

    `start` until the source gives up taking position in time, and for every answer that is no stream; `watch` for one
    watch of the pods; `quiet` until a silent stream is opened anew, `ending` the same once the pod is gone or its
    container was restarted; `settle` for a pod's status to tell of a restart that its log shows; `first` and `most`
    between two attempts.
    """

    start: float = 5.0
    watch: float = 60.0
    quiet: float = 120.0
    ending: float = 5.0
    settle: float = 5.0
    first: float = 0.1
    most: float = 5.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Around:
    """What the reader of one log needs of its source.

    `look_again` brings the status of all pods up to date; `trouble` tells of a log that cannot be read, or without
    a refusal that it can; `gap` of lines that are or may be lost, and what helps; `cut` counts lines left out.
    """

    api: Api
    namespace: str
    patience: Patience
    clock: Clock
    deliver: Callable[[Lines], Awaitable[None]]
    look_again: Callable[[], Awaitable[None]]
    trouble: Callable[[str, Refusal | None], None]
    gap: Callable[[str, str], None]
    cut: Callable[[int], None]


@dataclass(frozen=True, slots=True)
class _Entry:
    """One line of a log: its stamp, the line with the stamp, and without."""

    stamp: Stamp
    line: bytes
    text: bytes


class _Gone(Exception):
    """The pod is no more, or another one has its name."""


class _Restarted(Exception):
    """What came is the log of a later run than the one that was read."""


class PodLog:
    """Reads one container's log. `since` is the server's second to begin at, None for the log's beginning."""

    def __init__(self, pod: Pod, around: Around, *, since: float | None) -> None:
        self.pod = pod
        self.gone = self.ended = False
        self.state = State.WAITING
        self._around = around
        self._patience = around.patience
        self._since = since
        self._seen = Seen()
        self._backoff = Backoff(first=self._patience.first, most=self._patience.most)
        self._restarts = 0 if since is None else pod.restarts
        self._opened = self._answered = self._anew = False
        self._whole = True
        self._empty = 0
        self._news = asyncio.Event()
        self._leash: asyncio.Timeout | None = None

    def update(self, pod: Pod) -> None:
        """Take over what the API says of the pod; an event that comes late does not take back a restart."""
        before, self.pod = self.pod, replace(pod, restarts=max(pod.restarts, self.pod.restarts))
        if self.pod != before:
            self._news.set()
            self._shorten_leash()

    def vanish(self) -> None:
        """The pod is gone: read what is still on its way."""
        self.gone = True
        self._news.set()
        self._shorten_leash()

    async def stand_at_end(self) -> None:
        """Know the latest lines, so that only what comes after them is new."""
        async with aclosing(self._entries(self._ask(tailLines="1"))) as found:
            latest = [entry async for entries in found for entry in entries]
        if not latest:
            self._since = None
            return
        since, seen = floor(latest[-1].stamp.seconds - MARGIN), Seen()
        async with aclosing(self._entries(self._ask(sinceTime=_moment(since)))) as found:
            async for entries in found:
                seen.remember_all((entry.stamp.seconds, entry.line) for entry in entries)
        self._since, self._seen = since, seen

    async def follow(self) -> None:
        """Deliver every line until there will be no more."""
        self._empty = 0
        while True:
            last, wait = self.gone or self.pod.over, 0.0
            try:
                if self.pod.restarts > self._restarts:
                    await self._rest_of_previous()
                if self.pod.ran and not self.gone:
                    await self._stream()
            except _Restarted:
                continue
            except _Gone:
                self.gone = True
            except TimeoutError:
                self._whole |= self.gone
            except Refusal as refusal:
                self._whole &= refusal.code == _NOT_FOUND
                wait = await self._refused(refusal)
            if self.gone or (last and self._whole):
                break
            self._look_for_cuts()
            await self._pause(wait)
        self.state, self.ended = State.WAITING, True
        if not self._whole or (self.pod.ran and not self._opened):
            self._around.gap(f"{self} was gone before its log was read to the end", NOT_KEPT)

    # One stream

    async def _stream(self) -> None:
        """Read until the server ends it. Raises TimeoutError where it is silent for too long."""
        waiting = (bool(self._seen) or self._opened) and not self._anew
        first, self._opened = True, True
        self._seen.expect()
        async with aclosing(self._entries(self._ask(follow="true", **self._begin()))) as found:
            async for entries in found:
                known = [self._seen.known(entry.line) for entry in entries]
                if first and not known[0]:
                    await self._other_log(waiting=waiting)
                    self._anew = False
                first = False
                await self._deliver([entry for entry, old in zip(entries, known, strict=True) if not old])

    async def _rest_of_previous(self) -> None:
        """What was not yet read of the run before this one."""
        run = self.pod.restarts
        overlap = not self._seen
        self._seen.expect()
        try:
            async with aclosing(self._entries(self._ask(previous="true", **self._begin()))) as found:
                async for entries in found:
                    new = [entry for entry in entries if not self._seen.known(entry.line)]
                    overlap |= len(new) < len(entries)
                    await self._deliver(new)
        except Refusal as refusal:
            if refusal.code not in _NO_SUCH_LOG:
                raise
            overlap = False
        if not overlap or run > self._restarts + 1:
            self._around.gap(
                f"{self} was restarted, and the end of its log before that is not there any more", NOT_KEPT
            )
        self._restarts, self._anew = run, True

    async def _other_log(self, *, waiting: bool) -> None:
        """The log does not begin with what is known of it: the pod's status has to tell why."""
        until = asyncio.get_running_loop().time() + (self._patience.settle if waiting else 0.0)
        while True:
            await self._around.look_again()
            if self.gone:
                raise _Gone
            if self.pod.restarts > self._restarts:
                raise _Restarted
            if asyncio.get_running_loop().time() >= until:
                break
            await asyncio.sleep(self._patience.settle / 10)
        if waiting and self._seen:
            self._around.gap(f"the log of {self} was rotated while it could not be read", ROTATED)

    async def _entries(self, ask: Ask) -> AsyncGenerator[list[_Entry], None]:
        """The whole lines of an answer, as they come."""
        joiner, self._answered = LineJoiner(), False
        async with AsyncExitStack() as stack:
            chunks = await self._within(stack.enter_async_context(self._around.api.stream(ask)))
            self._answered = True
            self._empty += 1
            lasting = asyncio.get_running_loop().call_later(LASTED, self._shows)
            stack.callback(lasting.cancel)
            while chunk := await self._within(anext(chunks, b"")):
                for piece in _pieces(chunk, joiner):
                    if entries := [entry for line in piece.split(b"\n")[:-1] if (entry := self._entry(line))]:
                        self._shows()
                        self._around.trouble(f"{self.pod.uid} text", None)
                        yield entries
        self._whole = not joiner.held

    def _shows(self) -> None:
        """The log can be read."""
        self.state, self._empty = State.FOLLOWING, 0
        self._around.trouble(self.pod.uid, None)

    def _look_for_cuts(self) -> None:
        """Tell where one stream after the other showed nothing."""
        if self._empty < MOST_EMPTY or not self.pod.running:
            return
        self.state = State.FAILED
        ends = f"{self}: each connection for its log ends before a line of it comes"
        next_step = "see what stands between the probe and the API (a proxy, a load balancer)"
        self._around.trouble(self.pod.uid, Refusal(f"{ends}: {next_step}", kind="cut off"))

    def _entry(self, line: bytes) -> _Entry | None:
        """A line with its stamp; None for what is no log line."""
        written, _, text = line.partition(b" ")
        stamped = stamp.written(written, now=0.0)
        if stamped is None:
            quote = self._around.api.plain(line[:_MOST_QUOTED].decode("utf-8", "replace"))
            self.state, self._empty = State.FAILED, 0
            strange = Refusal(f"{self}: instead of its log came {quote!r}", kind=f"text of {self}")
            self._around.trouble(f"{self.pod.uid} text", strange)
            return None
        return _Entry(stamped, line, text + b"\n")

    async def _deliver(self, entries: list[_Entry]) -> None:
        self._seen.remember_all((entry.stamp.seconds, entry.line) for entry in entries)
        whole = [entry for entry in entries if len(entry.line) < MAX_LINE - 1]
        self._around.cut(len(entries) - len(whole))
        if whole:
            self._backoff.succeeded()
            text, stamps = b"".join(entry.text for entry in whole), tuple(entry.stamp for entry in whole)
            await self._around.deliver(Lines(self._around.clock(), text, stamps))

    # What is asked, and how long is waited

    def _begin(self) -> dict[str, str]:
        since = self._seen.since if self._seen else self._since
        return {} if since is None else {"sinceTime": _moment(since)}

    def _ask(self, **params: str) -> Ask:
        return Ask(
            verb="get",
            resource="pods/log",
            namespace=self._around.namespace,
            name=self.pod.name,
            params={"container": self.pod.container or "", "timestamps": "true", **params},
        )

    async def _within(self, step: Awaitable[_T]) -> _T:
        """Wait for the next bytes, for as long as there may be some."""
        try:
            async with asyncio.timeout(self._silence) as self._leash:
                return await step
        finally:
            self._leash = None

    @property
    def _silence(self) -> float:
        ending = self.gone or self.pod.restarts > self._restarts
        return self._patience.ending if ending else self._patience.quiet

    def _shorten_leash(self) -> None:
        if self._leash is None or self._leash.expired() or (due := self._leash.when()) is None:
            return
        self._leash.reschedule(min(due, asyncio.get_running_loop().time() + self._silence))

    async def _refused(self, refusal: Refusal) -> float:
        """Tell what is wrong, unless it is only that the pod is gone; how long the server wants to be left alone."""
        if refusal.code == _NOT_FOUND:
            with suppress(Refusal):
                await self._around.look_again()
        if refusal.code is None and not self._backoff.failures:
            return 0.0
        if not (self.gone or self._answered):
            self.state = State.FAILED
            mine = refusal.code not in _NOT_THIS_POD_S
            self._around.trouble(self.pod.uid, refusal.of(str(self)) if mine else refusal)
        return min(LONGEST, refusal.retry_after)

    async def _pause(self, at_least: float) -> None:
        """Wait before the next attempt, unless there is news of the pod."""
        await asyncio.sleep(at_least)
        with suppress(TimeoutError):
            async with asyncio.timeout(self._backoff.failed()):
                await self._news.wait()
        self._news.clear()

    def __str__(self) -> str:
        return f"pod {self.pod.name}, container {self.pod.container}"


def _pieces(chunk: bytes, joiner: LineJoiner) -> Iterator[bytes]:
    """The whole lines that a chunk of any size completes."""
    while chunk:
        room = joiner.room
        piece, chunk = chunk[:room], chunk[room:]
        yield joiner.feed(piece)


def _moment(seconds: float) -> str:
    """A time as the API takes it, in whole seconds."""
    return datetime.fromtimestamp(max(0, floor(seconds)), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
