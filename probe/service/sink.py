"""The sink: each change of a verdict, and each outage as it begins and ends, pushed to Loki as one JSON line, in order.

    Ledger ──take──▶ Telling (which lines) ──▶ at most MOST that wait ──one task──▶ Loki

Rules:
- `take` never waits and never raises. At most MOST lines wait; the oldest go, and are counted.
- Lines that Loki will not have (too old, too large, odd labels) are said once in its words and dropped; anything else,
  a token that has expired too, is sent again, later and later, and not before the moment that Retry-After names.
- Few streams: labels are what the configuration gives, vantage, path, service and severity; the rest is in the line.
- What waits when the process ends, or the place is another one, is sent within `Patience.close`, or lost and said to
  be: the history has it all. Another login is the same place (`log_in`) and costs nothing. What stands is told again
  when the next one begins, and after lines were lost, within RETOLD seconds (telling.py).
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable, Collection, Container
from dataclasses import dataclass, field
from types import TracebackType

from probe.evidence.loki import reason_of
from probe.evidence.loki_push import MEANINGS, Pushed, body_of, is_final
from probe.evidence.sources.backoff import Backoff
from probe.evidence.sources.loki_http import Bounds, LokiHttp, Server, Trouble
from probe.model import EndpointName, Outage
from probe.notices import warn
from probe.service.clock import SteadyClock
from probe.service.ledger import Account, Entry, Restored
from probe.service.sources import loki_server
from probe.service.standing import Standing, rest
from probe.service.telling import Telling, Told
from probe.settings import LokiSink

MOST = 1_000
AT_ONCE = 100
JOB = "mailprobe"
_LARGEST_REPLY = 64 << 10


@dataclass(frozen=True, kw_only=True, slots=True)
class Patience:
    """Bounds of time in seconds.

    `gather`: how long lines wait for others to be sent with them. `again`, `longest`: the first and the longest wait
    after a failure that Loki gave no time for. `close`: how long the last sending may hold up the end.
    """

    gather: float = 0.5
    again: float = 1.0
    longest: float = 60.0
    close: float = 1.0
    bounds: Bounds = field(default_factory=lambda: Bounds(answer=10.0))


PATIENCE = Patience()


class Sink:
    """Pushes to one Loki while the context is open. `vantage`: its name in lines and labels."""

    def __init__(
        self,
        settings: LokiSink,
        vantage: str,
        clock: SteadyClock,
        *,
        warn: Callable[..., None] = warn,
        patience: Patience = PATIENCE,
    ) -> None:
        server = Server(**loki_server(settings))
        self._labels = {"job": JOB, **settings.labels, "vantage": vantage}
        self._telling = Telling(vantage)
        self._vantage = vantage
        self._clock = clock
        self._warn = warn
        self._patience = patience
        self._http = LokiHttp(server, clock, patience.bounds)
        self._standing: Standing[Trouble] = Standing(
            warn, fails="sink: verdicts are not pushed", works="sink: verdicts are pushed again"
        )
        self._backoff = Backoff(first=patience.again, most=patience.longest)
        self._waiting: deque[tuple[EndpointName, Pushed]] = deque()
        self._lost: set[EndpointName] = set()
        self._sent = self._lost_before = 0
        self._news, self._closing = asyncio.Event(), asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.dropped = 0

    @property
    def pushed(self) -> int:
        """Lines that Loki took."""
        return self._sent

    @property
    def trouble(self) -> str | None:
        """Why nothing is pushed, with the next step; None while it works."""
        if self._standing.trouble is None:
            return None
        lost = self.dropped - self._lost_before
        return f"sink: {self._standing.trouble.reason}" + (f"; {lost} lines are lost so far" if lost else "")

    async def log_in(self, settings: LokiSink) -> None:
        """Ask by this login from now on. It is the same place: what waits goes on waiting, and is tried at once."""
        await self._rest()
        await self._http.close()
        self._http = LokiHttp(Server(**loki_server(settings)), self._clock, self._patience.bounds)
        self._backoff.succeeded()
        await self.__aenter__()

    async def __aenter__(self) -> Sink:
        self._task = asyncio.create_task(self._work(), name="sink")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        self._news.set()
        if self._task is not None:
            await asyncio.wait([self._task], timeout=self._patience.close)
        await self._rest()
        await self._http.close()
        if self._waiting:
            self._warn("sink: lines are lost, for Loki did not take them before the end", lines=len(self._waiting))

    async def _rest(self) -> None:
        """Push nothing more; what is under way waits again."""
        for task in filter(None, [self._task]):
            task.cancel()
            await asyncio.wait([task])

    def go_on(self, known: Restored) -> None:
        """Begin with what the ledger knows. Before the first entry."""
        self._telling = Telling(self._vantage, known)

    def take(self, entry: Entry) -> None:
        """Push what an entry of the ledger changed. For Ledger.listeners."""
        for told in self._telling.of(entry, self._clock.ahead):
            self._add(entry.result.session.endpoint, told)

    def take_up(self, known: Restored) -> None:
        """What an earlier process wrote down is found late; the ledger now knows this."""
        for name, told in self._telling.take_up(known, self._clock.ahead):
            self._add(name, told)

    def part(self, outage: Outage, account: Account | None) -> None:
        """Push the end of an outage that no entry tells (Ledger.farewells); `account`: its endpoint's, if any."""
        self._add(outage.endpoint, self._telling.part(outage, account, self._clock.ahead))

    def only(self, names: Container[EndpointName]) -> None:
        """No other endpoints are probed from now on."""
        self._telling.only(names)

    def leave(self) -> None:
        """Nothing is told here from now on: outages end, as far as any reader will know."""
        for name, told in self._telling.leave(self._clock.ahead):
            self._add(name, told)

    def _add(self, endpoint: EndpointName, told: Told) -> None:
        at, line = told
        labels = {**self._labels, **{name: str(line[name]) for name in ("path", "service", "severity")}}
        self._waiting.append((endpoint, Pushed(at=self._clock.wall(at), labels=labels, line=json.dumps(line))))
        self._trim()
        self._news.set()

    def _trim(self) -> None:
        while len(self._waiting) > MOST:
            endpoint, _ = self._waiting.popleft()
            self._drop([endpoint])

    def _drop(self, endpoints: Collection[EndpointName]) -> None:
        self.dropped += len(endpoints)
        self._lost.update(endpoints)

    # The one task that pushes

    async def _work(self) -> None:
        while True:
            if not self._waiting:
                if self._closing.is_set():
                    return
                self._news.clear()
                await self._news.wait()
                await rest(self._patience.gather, self._closing)
            wait = await self._turn()
            if wait and self._closing.is_set():
                return
            await rest(wait, self._closing)

    async def _turn(self) -> float:
        """Push one batch; seconds to wait before the next try."""
        batch = [self._waiting.popleft() for _ in range(min(AT_ONCE, len(self._waiting)))]
        if not batch:
            return 0.0
        try:
            await self._push(body_of(line for _, line in batch))
        except asyncio.CancelledError:
            self._waiting.extendleft(reversed(batch))
            raise
        except Exception as error:  # be it a fault of our own: probing goes on, and it is said
            trouble = error if isinstance(error, Trouble) else _own_fault(error)
            self._standing.tell(trouble)
            if is_final(trouble.kind):
                self.dropped += len(batch)
                self._telling.lost(endpoint for endpoint, _ in batch)  # perhaps nothing else is to be told any more
                return 0.0
            self._waiting.extendleft(reversed(batch))
            self._trim()
            return self._backoff.failed(at_least=trouble.wait)
        self._sent += len(batch)
        self._standing.recovered(lost=self.dropped - self._lost_before)
        self._telling.lost(self._lost)
        self._lost.clear()
        self._lost_before = self.dropped
        self._backoff.succeeded()
        return 0.0

    async def _push(self, body: bytes) -> None:
        headers = {"Content-Type": "application/json"}
        async with self._http.request("POST", "push", data=body, headers=headers) as answer:
            if answer.status // 100 == 2 and "html" not in answer.content_type:
                return
            said = (await answer.content.read(_LARGEST_REPLY)).decode("utf-8", "replace")
            reply = self._http.without_credentials(said)
            if answer.status // 100 == 2:
                reason = "answers with a web page: a login page or another service stands there; check `url`"
                raise Trouble("web page", f"{self._http.base} {reason}")
            raise self._http.refusal(answer, reason_of(answer.status, reply, MEANINGS))


def _own_fault(error: Exception) -> Trouble:
    return Trouble("fault", f"mailprobe itself is at fault ({type(error).__name__}: {error}): report it")
