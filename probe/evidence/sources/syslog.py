"""A syslog receiver: RFC 3164 and RFC 5424, as datagrams over UDP or as a stream over TCP.

Rules:
- The queue is the kernel's: nothing is read before the consumer asks. Over TCP a slow consumer slows the senders down;
  over UDP the kernel drops what does not fit, tells how often, and that is a gap.
- The port is bound when `start` returns. A port that cannot be had is tried again; what was sent meanwhile is a gap.
- Strangers may reach the port: messages, connections and what is held of half messages are bounded. Of too many
  connections the one that has been silent longest is closed.
- A message is a line. One that a broken connection cut off is none: half a line may look like another one.
"""

from __future__ import annotations

import asyncio
import errno
import selectors
import socket
import struct
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field

from probe.evidence.sources.backoff import Backoff
from probe.evidence.sources.descriptor import CHUNK, Wait
from probe.evidence.sources.frames import LONGEST, Frames, line_of
from probe.evidence.sources.listening import SO_RXQ_OVFL, Listening, bound_to, refusal
from probe.evidence.sources.source import Health, Lines, State
from probe.evidence.sources.standing import Standing
from probe.model import plain_address, within

MOST_SENDERS = 128
_LEAST = 256
"""A datagram counts as at least so many bytes, so that even empty ones come to an end."""

_COUNTER = struct.Struct("=I")
_RESET, _POLITE = struct.pack("ii", 1, 0), struct.pack("ii", 0, 0)
"""How a connection ends when we do: a sender notices a reset before it sends the next message into nowhere."""


@dataclass(slots=True)
class _Sender:
    """A connection: what is held of it, and when it last said something."""

    connection: socket.socket
    heard: float
    frames: Frames = field(default_factory=Frames)


class SyslogSource:
    """Receives at one port. See `Source` for the contract of its methods."""

    def __init__(self, listening: Listening, *, clock: Callable[[], float]) -> None:
        self._listening = listening
        self._clock = clock
        self._standing = Standing(self.name)
        self._backoff = Backoff(most=5.0)
        self._selector = selectors.DefaultSelector()
        self._wait = Wait()
        self._bound: socket.socket | None = None
        self._senders: dict[socket.socket, _Sender] = {}
        self._overflowed = 0

    @property
    def name(self) -> str:
        """Label of its metrics and sightings."""
        return f"syslog:{self._listening}"

    @property
    def port(self) -> int:
        """The port that is bound, 0 if none is: of interest where the kernel was to choose it."""
        return int(self._bound.getsockname()[1]) if self._bound else 0

    @property
    def health(self) -> Health:
        """How it fares now."""
        return self._standing.health

    async def start(self) -> None:
        """Bind the port."""
        await self._bind()

    async def follow(self) -> AsyncIterator[Lines]:
        """What is received, until `close`."""
        while not self._wait.ended:
            if self._bound is None:
                await self._wait.pause(self._backoff.failed())
                if not self._wait.ended and await self._bind():
                    self._standing.gap("the port could not be had at first", "free it before the probe starts")
            elif await self._wait.readable(self._fileno()):
                for text in self._received():
                    yield self._standing.arrived(self._clock(), text)
                    await asyncio.sleep(0)
                    if self._wait.ended:
                        return
                await asyncio.sleep(0)

    def hurry(self, seconds: float) -> None:
        """Messages are read as they come."""

    async def close(self) -> None:
        """Close the port and all connections."""
        if self._wait.ended:
            return
        self._wait.end()
        for sender in tuple(self._senders.values()):
            self._hang_up(sender)
        if self._bound:
            self._bound.close()
        self._selector.close()

    def _fileno(self) -> int:
        assert isinstance(self._selector, selectors.EpollSelector)  # noqa: S101 - DefaultSelector on Linux
        return self._selector.fileno()

    # The port

    async def _bind(self) -> bool:
        try:
            self._bound = await bound_to(self._listening)
        except OSError as error:
            self._standing.tell(State.FAILED, refusal(self._listening, error))
            return False
        self._selector.register(self._bound, selectors.EVENT_READ)
        self._backoff.succeeded()
        self._standing.tell(State.FOLLOWING)
        return True

    def _may_send(self, place: tuple[str, int]) -> bool:
        return not self._listening.senders or within(plain_address(place[0]), self._listening.senders)

    # What comes in

    def _received(self) -> Iterator[bytes]:
        """The lines that can be read now, in parts of at most MAX_LINE bytes."""
        for key, _ in self._selector.select(0):
            ready = key.fileobj
            if ready is self._bound:
                if self._listening.kind is socket.SOCK_DGRAM:
                    yield from self._datagrams(self._bound)
                else:
                    self._accept(self._bound)
            elif isinstance(ready, socket.socket) and ready in self._senders:
                yield from self._streamed(self._senders[ready])

    def _datagrams(self, bound: socket.socket) -> Iterator[bytes]:
        lines, room = [], CHUNK
        while room > 0:
            try:
                message, told, _, place = bound.recvmsg(LONGEST, socket.CMSG_SPACE(_COUNTER.size))
            except OSError:
                break
            self._count_overflow(told)
            room -= max(len(message), _LEAST)
            if self._may_send(place):
                lines.append(line_of(message))
        if text := b"".join(lines):
            yield text

    def _count_overflow(self, told: list[tuple[int, int, bytes]]) -> None:
        for level, kind, value in told:
            if (level, kind) == (socket.SOL_SOCKET, SO_RXQ_OVFL):
                (dropped,) = _COUNTER.unpack(value[: _COUNTER.size])
                if dropped != self._overflowed:
                    self._overflowed = dropped
                    self._standing.gap(
                        "datagrams came faster than they were read, and the kernel dropped some",
                        "raise net.core.rmem_max to 8388608, or send over tcp",
                    )

    def _accept(self, bound: socket.socket) -> None:
        try:
            connection, place = bound.accept()
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                self._hang_up_on_the_most_silent()
            return
        if not self._may_send(place):
            connection.close()
            return
        if len(self._senders) >= MOST_SENDERS:
            self._hang_up_on_the_most_silent()
        connection.setblocking(False)  # noqa: FBT003
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._senders[connection] = _Sender(connection, self._clock())
        self._selector.register(connection, selectors.EVENT_READ)

    def _streamed(self, sender: _Sender) -> Iterator[bytes]:
        try:
            chunk = sender.connection.recv(CHUNK)
        except BlockingIOError:
            return
        except OSError:
            chunk = b""
        if not chunk:
            sender.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _POLITE)
            self._hang_up(sender)
            return
        sender.heard = self._clock()
        text = b"".join(map(line_of, sender.frames.feed(chunk)))
        self._standing.cut(sender.frames.dropped)
        sender.frames.dropped = 0
        if text:
            yield text

    def _hang_up_on_the_most_silent(self) -> None:
        if self._senders:
            self._hang_up(min(self._senders.values(), key=lambda sender: sender.heard))

    def _hang_up(self, sender: _Sender) -> None:
        """Close a connection; a message it has begun is lost, unless its sender sends it again."""
        del self._senders[sender.connection]
        self._selector.unregister(sender.connection)
        sender.connection.close()
        if sender.frames.incomplete and sender.frames.is_syslog:
            self._standing.gap("a connection ended in the middle of a message", "see whether the sender says why")
