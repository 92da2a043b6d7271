"""A Loki to test with, as its HTTP API is documented and its queriers behave. It keeps what it is given in memory.

What it does as the real one: one line per stream, stamp and text; `start` inclusive, `end` exclusive, 100 entries and
`backward` unless asked otherwise; refusals as plain text; tails that look back by `limit` newest entries, send at most
100 entries a frame, hold at most ten frames, tell of what they dropped then, ping, and end with a reason in the close
frame. Beyond that `script`, `tail_script` and `push_script` hold what to answer instead, once each.

    python -m tests.evidence.sources.scripted_loki PORT [--no-tail]     serves until it is ended

SIGUSR1 kills it and SIGUSR2 starts it again, with what its write-ahead log holds.
"""

from __future__ import annotations

import asyncio
import heapq
import random
import re
import signal
import sys
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any

from aiohttp import WSMsgType, web

Labels = tuple[tuple[str, str], ...]
Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]

ENTRIES_PER_FRAME = 100
FRAMES_HELD = 10
MOST_LABELS = 15
_SELECTOR = re.compile(r'\{((?:\w+=~?"[^"]*",?\s*)+)\}(?:\s*\|=\s*"([^"]*)")?')
_MATCHER = re.compile(r'(\w+)(=~?)"([^"]*)"')


class Refused(Exception):
    """An answer other than 200, in Loki's words."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


@dataclass
class Tailer:
    """One tail under way: entries that came in and were not sent yet, frames that wait to be sent."""

    query: str
    entries: list[tuple[int, int, Labels, str]] = field(default_factory=list)
    frames: asyncio.Queue[dict[str, Any]] = field(default_factory=lambda: asyncio.Queue(FRAMES_HELD))
    dropped: list[tuple[int, Labels]] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Future[str] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class ScriptedLoki:
    """One Loki; `kill` and `serve` again on the same port keep what it holds, as its write-ahead log does."""

    def __init__(self, *, tails: bool = True, max_entries_limit: int = 5000, seed: int = 0) -> None:
        self.streams: dict[Labels, dict[tuple[int, str], None]] = defaultdict(dict)
        self.script: deque[Answer] = deque()
        self.tail_script: deque[Answer] = deque()
        self.push_script: deque[Answer] = deque()
        self.pushes: list[bytes] = []
        self.tails: list[Tailer] = []
        self.tails_allowed = tails
        self.max_entries_limit = max_entries_limit
        self.max_tails = 10
        self.tenant: str | None = None
        self.authorization: str | None = None
        self.clock_ahead = 0.0
        self.throttle = 0.02
        self.loses = self.doubles = self.drops = 0.0
        self.tail_labels: Callable[[Labels], Labels] = lambda labels: labels
        self.queries: list[Mapping[str, str]] = []
        self.tails_opened = 0
        self.port = 0
        self._chance = random.Random(seed)
        self._number = 0
        self._runner: web.AppRunner | None = None
        self._clock: Callable[[], float] = asyncio.get_running_loop().time

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    # Serve and end

    async def serve(self, port: int | None = None) -> None:
        app = web.Application()
        app.router.add_get("/loki/api/v1/query_range", self._query_range)
        app.router.add_get("/loki/api/v1/tail", self._tail)
        app.router.add_post("/loki/api/v1/push", self._push)
        self._runner = web.AppRunner(app, shutdown_timeout=0.0, handle_signals=False, handler_cancellation=True)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port if port is None else port, reuse_address=True)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def kill(self) -> None:
        """End without a word: connections are reset in the middle of whatever they were doing."""
        if self._runner is None:
            return
        runner, self._runner = self._runner, None
        server = runner.server
        assert server is not None
        for connection in server.connections:
            if connection.transport is not None:
                connection.transport.abort()
        await runner.cleanup()
        self.tails.clear()

    @property
    def is_up(self) -> bool:
        return self._runner is not None

    def end_tails(self, reason: str = "reached tail max duration limit") -> None:
        for tail in self.tails:
            if not tail.ended.done():
                tail.ended.set_result(reason)

    # What it is given

    def push(self, labels: Mapping[str, str], entries: Iterable[tuple[int, str]]) -> None:
        if not self.is_up:
            raise ConnectionError("Loki is down")
        stream = tuple(sorted(labels.items()))
        for at, line in entries:
            if (at, line) not in self.streams[stream]:
                self.streams[stream][at, line] = None
                self._tell_tails(at, stream, line)

    def _tell_tails(self, at: int, stream: Labels, line: str) -> None:
        for tail in self.tails:
            if _selects(tail.query, stream, line) and self._chance.random() >= self.loses:
                for _ in range(1 + (self._chance.random() < self.doubles)):
                    self._number += 1
                    heapq.heappush(tail.entries, (at, self._number, stream, line))
                tail.news.set()

    async def _push(self, request: web.Request) -> web.StreamResponse:
        self.pushes.append(await request.read())
        if self.push_script:
            return await self.push_script.popleft()(request)
        try:
            self._admit(request)
            for stream in (await request.json())["streams"]:
                labels, values = stream["stream"], stream["values"]
                if len(labels) > MOST_LABELS:
                    said = f"entry for stream '{labels}' has {len(labels)} label names; limit {MOST_LABELS}"
                    raise Refused(400, said)
                self.push(labels, [(int(at), line) for at, line, *_ in values])
        except Refused as refused:
            return self._dated(web.Response(status=refused.status, text=refused.text))
        return self._dated(web.Response(status=204))

    # query_range

    async def _query_range(self, request: web.Request) -> web.StreamResponse:
        self.queries.append(dict(request.query))
        if self.script:
            return await self.script.popleft()(request)
        try:
            self._admit(request)
            return self._dated(web.json_response(self._found(request.query)))
        except Refused as refused:
            return self._dated(web.Response(status=refused.status, text=refused.text))

    def _admit(self, request: web.Request) -> None:
        if self.authorization and request.headers.get("Authorization") != self.authorization:
            raise Refused(401, "Unauthorized")
        if self.tenant and request.headers.get("X-Scope-OrgID") is None:
            raise Refused(401, "no org id")
        if self.tenant and request.headers.get("X-Scope-OrgID") != self.tenant:
            raise Refused(403, "unauthorized tenant")

    def _dated(self, response: web.Response) -> web.Response:
        response.headers["Date"] = formatdate(self.now(), usegmt=True)
        return response

    def now(self) -> float:
        import time  # noqa: PLC0415 - the only place that asks

        return time.time() + self.clock_ahead

    def _found(self, asked: Mapping[str, str]) -> dict[str, Any]:
        query = asked["query"]
        if re.match(r"\s*(rate|count_over_time|sum)\b", query):
            return {"status": "success", "data": {"resultType": "matrix", "result": [], "stats": {}}}
        start, end = int(asked["start"]), int(asked["end"])
        limit, direction = int(asked.get("limit", "100")), asked.get("direction", "backward")
        if end <= start:
            raise Refused(400, "end timestamp must not be before or equal to start time")
        if limit > self.max_entries_limit:
            said = "max entries limit per query exceeded, limit > max_entries_limit"
            raise Refused(400, f"{said} ({limit} > {self.max_entries_limit})")
        held = self._held(query, start, end)
        kept = held[:limit] if direction == "forward" else held[::-1][:limit]
        by_stream: dict[Labels, list[list[str]]] = defaultdict(list)
        for at, stream, line in kept:
            by_stream[stream].append([str(at), line])
        result = [{"stream": dict(stream), "values": values} for stream, values in by_stream.items()]
        return {"status": "success", "data": {"resultType": "streams", "result": result, "stats": {}}}

    def _held(self, query: str, start: int, end: int) -> list[tuple[int, Labels, str]]:
        _selects(query, (), "")
        return sorted(
            (at, stream, line)
            for stream, lines in self.streams.items()
            for at, line in lines
            if start <= at < end and _selects(query, stream, line)
        )

    # tail

    async def _tail(self, request: web.Request) -> web.StreamResponse:
        if self.tail_script:
            return await self.tail_script.popleft()(request)
        if not self.tails_allowed:
            return web.Response(status=404, text="404 page not found")
        try:
            self._admit(request)
            _selects(request.query["query"], (), "")
            if int(request.query.get("start", "0")) > self.now() * 1e9:
                raise Refused(400, "invalid query, through < from")
        except Refused as refused:
            return web.Response(status=refused.status, text=refused.text)
        socket = web.WebSocketResponse(autoping=True)
        await socket.prepare(request)
        if len(self.tails) >= self.max_tails:
            said = (
                f"max concurrent tail requests limit exceeded, count > limit ({len(self.tails) + 1} > {self.max_tails})"
            )
            await socket.close(code=1011, message=f"rpc error: code = Code(400) desc = {said}".encode())
            return socket
        tail = Tailer(request.query["query"])
        self._look_back(tail, request.query)
        self.tails.append(tail)
        self.tails_opened += 1
        await self._run(tail, socket)
        return socket

    def _look_back(self, tail: Tailer, asked: Mapping[str, str]) -> None:
        start, end, limit = int(asked.get("start", "0")), round(self.now() * 1e9), int(asked.get("limit", "100"))
        newest = self._held(tail.query, start, end)[::-1][:limit]
        for at, stream, line in newest:
            self._number += 1
            heapq.heappush(tail.entries, (at, self._number, stream, line))

    async def _run(self, tail: Tailer, socket: web.WebSocketResponse) -> None:
        async def listen() -> None:
            async for message in socket:
                if message.type in (WSMsgType.CLOSE, WSMsgType.ERROR):
                    break

        async def ping() -> None:
            while True:
                await asyncio.sleep(1.0)
                await socket.ping()

        async def send() -> None:
            while True:
                await socket.send_json(await tail.frames.get())

        async def finish() -> None:
            reason = await tail.ended
            await socket.close(code=1011, message=reason.encode())

        tasks = [asyncio.create_task(act) for act in (listen(), ping(), send(), finish(), self._frame(tail))]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            with suppress(ValueError):
                self.tails.remove(tail)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _frame(self, tail: Tailer) -> None:
        """Entries into frames, oldest first; what finds no room is dropped and told of with the next that does."""
        while True:
            if not tail.entries:
                tail.news.clear()
                await tail.news.wait()
                await asyncio.sleep(self.throttle)
            taken = [heapq.heappop(tail.entries) for _ in range(min(ENTRIES_PER_FRAME, len(tail.entries)))]
            frame: dict[str, Any] = {
                "streams": [
                    {"stream": dict(self.tail_labels(stream)), "values": [[str(at), line]]}
                    for at, _, stream, line in taken
                ]
            }
            if tail.dropped:
                told = [{"timestamp": str(at), "labels": dict(stream)} for at, stream in tail.dropped]
                frame["dropped_entries"] = told
            if tail.frames.full() or self._chance.random() < self.drops:
                tail.dropped += [(at, stream) for at, _, stream, _ in taken]
            else:
                tail.frames.put_nowait(frame)
                tail.dropped.clear()
            await asyncio.sleep(0)


def _selects(query: str, stream: Labels, line: str) -> bool:
    match = _SELECTOR.fullmatch(query.strip())
    if match is None:
        raise Refused(400, "parse error at line 1, col 1: syntax error: unexpected IDENTIFIER")
    labels = dict(stream)
    matchers, text = match.groups()
    return (text or "") in line and all(
        re.fullmatch(value, labels.get(name, "")) if how == "=~" else labels.get(name, "") == value
        for name, how, value in _MATCHER.findall(matchers)
    )


async def words(*signals: signal.Signals) -> AsyncIterator[signal.Signals]:
    """These signals, as they come."""
    come: asyncio.Queue[signal.Signals] = asyncio.Queue()
    for one in signals:
        asyncio.get_running_loop().add_signal_handler(one, come.put_nowait, one)
    while True:
        yield await come.get()


async def main(port: str, *options: str) -> None:
    loki = ScriptedLoki(tails="--no-tail" not in options)
    await loki.serve(int(port))
    print(loki.port, flush=True)
    async for word in words(signal.SIGUSR1, signal.SIGUSR2):
        await (loki.kill() if word is signal.SIGUSR1 else loki.serve())
        print(word.name, flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
