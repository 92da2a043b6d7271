"""Loki's tail: a websocket that is opened again whenever it ends, and says why it ended.

Rules:
- `hear` gives one thing at a time: Opened, a Frame, or Ended. Nothing is read ahead of who asks.
- Loki ends every tail after an hour (tail_max_duration) and opens the next at once: no trouble.
- Where no websocket is opened at all (a proxy that does not upgrade), it is tried again after a long while.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass

from aiohttp import ClientWebSocketResponse, WSMessage, WSMsgType

from probe.evidence import loki as wire
from probe.evidence.sources.backoff import Backoff
from probe.evidence.sources.loki_client import MAX_FRAME, LokiClient
from probe.evidence.sources.loki_http import Trouble

_NORMAL_END = "tail max duration"
_TOO_LARGE = 1009
_CLOSING_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Opened:
    """From now on Loki tells what comes in."""


@dataclass(frozen=True, slots=True)
class Ended:
    """No tail for now. `reason` is empty where Loki ends a tail as it always does."""

    reason: str


Heard = Opened | wire.Frame | Ended


class Tail:
    """One tail after another. `refused` is the wait after a refusal, `lived` how long one lasts that is no failure.

    A tail looks back a little, though nobody needs it to: `since` is the stamp from where.
    """

    def __init__(self, client: LokiClient, *, refused: float, lived: float) -> None:
        self._client = client
        self._refused = refused
        self._lived = lived
        self._backoff = Backoff(first=0.5, most=60.0)
        self._wait = 0.0
        self.since = 0
        self._opened_at = 0.0
        self._socket: ClientWebSocketResponse | None = None

    @property
    def is_open(self) -> bool:
        """True while Loki tells what comes in."""
        return self._socket is not None

    async def hear(self) -> Heard:
        """What comes next."""
        if self._socket is None:
            return await self._open()
        message = await self._socket.receive()
        if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
            return await self._ended(self._why(message, self._socket.close_code))
        try:
            return wire.frame_of(message.data)
        except wire.Malformed as malformed:
            return await self._ended(f"a frame of Loki's tail is not understood ({malformed})")

    async def close(self) -> None:
        """Close the websocket."""
        socket, self._socket = self._socket, None
        if socket is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(_CLOSING_SECONDS):
                    await socket.close()

    async def _open(self) -> Heard:
        await asyncio.sleep(self._wait)
        try:
            # Loki refuses a start in its future, and its clock is known to the second.
            self.since = round((self._client.now() - 1.0) * wire.SECOND)
            self._socket = await self._client.tail(self.since)
        except Trouble as trouble:
            self._wait = self._backoff.failed(at_least=self._refused)
            return Ended(trouble.reason)
        self._opened_at = asyncio.get_running_loop().time()
        return Opened()

    async def _ended(self, reason: str) -> Ended:
        if asyncio.get_running_loop().time() - self._opened_at >= self._lived:
            self._backoff.succeeded()
        self._wait = self._backoff.failed()
        await self.close()
        return Ended("" if _NORMAL_END in reason else reason)

    def _why(self, message: WSMessage, code: int | None) -> str:
        if code == _TOO_LARGE:
            narrow = "let `query` select the mail server's lines only"
            return f"a frame of Loki's tail has more than {MAX_FRAME >> 20} MiB: {narrow}"
        said = message.extra or (message.data if message.type is WSMsgType.ERROR else None)
        return f"Loki's tail broke ({self._client.plain(str(said)) if said else 'the connection was lost'})"
