"""A query to Loki: pages of entries, and a tail. Whatever goes wrong leaves this file as a Trouble with a next step.

Rules, beside those of loki_http.py:
- An answer is read up to MAX_BODY bytes and a tail's frame up to MAX_FRAME.
- An answer too large, or a limit above what Loki allows, is asked for again in smaller pages.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

import aiohttp

from probe.evidence import loki as wire
from probe.evidence.sources.loki_http import Bounds, LokiHttp, Server, Trouble
from probe.model import Clock, as_written

MAX_BODY = 16 << 20
MAX_FRAME = 4 << 20
LIMIT = 5000
SMALLEST_LIMIT = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class Access(Server):
    """Where Loki is, what is asked, and as whom."""

    query: str

    @property
    def name(self) -> str:
        """A label without secrets that no other source has."""
        return f"{self.place} {as_written(self.query)}"

    @property
    def asked(self) -> tuple[str | None, ...]:
        """What of it may be out of `${NAME}`, and quoted by the other side."""
        return self.url, self.tenant, self.query


@dataclass(frozen=True, slots=True)
class Page:
    """Entries, oldest first; `full`: there may be more."""

    entries: tuple[wire.Entry, ...]
    full: bool


class LokiClient:
    """One Loki and one query. Use within one event loop."""

    def __init__(self, access: Access, clock: Clock, bounds: Bounds) -> None:
        self._query_text = access.query
        self._bounds = bounds
        self._http = LokiHttp(access, clock, bounds)
        self._allowed = LIMIT
        self._limit = LIMIT

    @property
    def ahead(self) -> float:
        """Loki's clock minus ours."""
        return self._http.ahead

    def now(self) -> float:
        """Loki's clock."""
        return self._http.now()

    def plain(self, said: str) -> str:
        """A text of the other side's as it may be shown: without our credentials, on one line, short."""
        return self._http.plain(said)

    def relax(self) -> None:
        """Ask for as many entries as Loki allows again: what was too large has passed."""
        self._limit = self._allowed

    async def page(self, start: int, end: int, *, newest_first: bool = False) -> Page:
        """One page of the entries with stamps in [start, end)."""
        while True:
            limit = self._limit
            asked = {"start": start, "end": end, "limit": limit, "direction": "backward" if newest_first else "forward"}
            try:
                entries = wire.page_of(await self._query(asked))
            except _TooMuch as much:
                self._limit = much.limit
                self._allowed = much.limit if much.always else self._allowed
            except wire.Malformed as malformed:
                raise Trouble("malformed", f"{self._http.base} is not understood: {malformed}") from None
            else:
                return Page(entries, full=len(entries) >= limit)

    async def tail(self, since: int) -> aiohttp.ClientWebSocketResponse:
        """A websocket on which Loki tells what comes in from now on, and the one newest line since this stamp."""
        params = {"query": self._query_text, "start": str(since), "limit": "1", "delay_for": "0"}
        async with self._http.translated(), asyncio.timeout(self._bounds.connect + self._bounds.silence):
            socket: aiohttp.ClientWebSocketResponse = await self._http.opened().ws_connect(
                self._http.address("tail"),
                params=params,
                **await self._http.identity(),
                heartbeat=self._bounds.silence,
                max_msg_size=MAX_FRAME,
                timeout=aiohttp.ClientWSTimeout(ws_close=1.0),
            )
            return socket

    async def close(self) -> None:
        """Close every connection."""
        await self._http.close()

    async def _query(self, asked: Mapping[str, object]) -> bytes:
        params = {"query": self._query_text, **{name: str(value) for name, value in asked.items()}}
        async with self._http.request("GET", "query_range", params=params) as answer:
            body = await self._body(answer)
            if answer.status == 200 and "html" not in answer.content_type:
                return body
            raise self._refusal(answer, self._http.without_credentials(body.decode("utf-8", "replace")))

    async def _body(self, answer: aiohttp.ClientResponse) -> bytes:
        body = bytearray()
        async for chunk in answer.content.iter_any():
            body += chunk
            if len(body) > MAX_BODY:
                if self._limit <= SMALLEST_LIMIT:
                    reason = f"{self._http.base} answers with more than {MAX_BODY >> 20} MiB for {self._limit} lines"
                    raise Trouble("too large", f"{reason}: let `query` select the mail server's lines only")
                raise _TooMuch(max(SMALLEST_LIMIT, self._limit // 4))
        return bytes(body)

    def _refusal(self, answer: aiohttp.ClientResponse, reply: str) -> Exception:
        if answer.status == 200:
            reason = "answers with a web page: a login page or another service stands there; check `url`"
            return Trouble("web page", f"{self._http.base} {reason}")
        allowed = wire.largest_limit(reply) if answer.status == 400 else None
        if allowed and allowed < self._limit:
            return _TooMuch(allowed, always=True)
        return self._http.refusal(answer, wire.reason_of(answer.status, reply))


class _TooMuch(Exception):
    """Ask again with this limit; `always`: Loki says that it never gives more."""

    def __init__(self, limit: int, *, always: bool = False) -> None:
        super().__init__(limit)
        self.limit = limit
        self.always = always
