"""A history with a ledger before it, and what the tests of both say to them."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from probe.model import Endpoint, Service, Spoken, Verdict
from probe.service.clock import SteadyClock
from probe.service.history import History, Patience
from probe.service.ledger import Ledger
from probe.settings.parts import HistorySettings
from tests.builders import result

SMTP = Endpoint(path="vip", service=Service.SMTP, host="10.0.20.202", port=25)
IMAPS = replace(SMTP, service=Service.IMAPS, port=993)
BRISK = Patience(gather=0.005, again=0.01, longest=0.02, start=5.0, yields=0.02, close=5.0, prune=0.02)
DAY = 86_400.0
TALK = tuple(Spoken(number / 10, bool(number % 2), f"250-mail.example.org line {number}") for number in range(30))


@dataclass
class Time:
    """A clock that a test sets; `wall` alone is what an administrator does."""

    monotonic: float = 1_000.0
    wall: float = 1_795_000_000.0
    boot: str = ""

    def passes(self, seconds: float) -> None:
        self.monotonic += seconds
        self.wall += seconds

    def clock(self) -> SteadyClock:
        return SteadyClock(lambda: self.monotonic, lambda: self.wall, boot=self.boot)


@dataclass
class Said:
    """What a person is told."""

    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def __call__(self, event: str, **fields: Any) -> None:
        self.events.append((event, fields))

    @property
    def reasons(self) -> list[str]:
        return [str(fields["reason"]) for _, fields in self.events if "reason" in fields]


@dataclass
class Desk:
    """History and ledger of one process."""

    history: History
    ledger: Ledger
    clock: SteadyClock
    said: Said

    def session(self, verdict: Verdict = Verdict.PRESERVED, **changes: Any) -> None:
        """One judged session, opened now."""
        changes.setdefault("opened", self.clock())
        self.ledger.record(result(verdict, **{"transcript": TALK, **changes}))

    async def until(self, reached: Callable[[], bool], seconds: float = 20.0) -> None:
        async with asyncio.timeout(seconds):
            while not reached():  # noqa: ASYNC110 - what happens in SQLite's threads sets no event
                await asyncio.sleep(0.002)

    async def writes(self, count: int) -> None:
        await self.until(lambda: self.history.written >= count)


@asynccontextmanager
async def keeping(
    file: Path,
    clock: SteadyClock | None = None,
    *,
    retention: str = "30d",
    size: str = "2GB",
    patience: Patience = BRISK,
    endpoints: Iterable[Endpoint] = (SMTP, IMAPS),
) -> AsyncIterator[Desk]:
    """As the daemon does it."""
    settings = HistorySettings.model_validate({"file": str(file), "retention": retention, "size": size})
    clock, said = clock or SteadyClock(time.monotonic, time.time), Said()
    async with History(settings, clock, warn=said, patience=patience) as history:
        ledger = Ledger(list(endpoints), history.restored)
        history.when_found(ledger.take_up)
        ledger.listeners.append(history.take)
        history.configure(ledger.lasting)
        yield Desk(history, ledger, clock, said)


def asked(file: Path, query: str, *values: object) -> list[tuple[Any, ...]]:
    """What the file says to somebody else."""
    with closing(sqlite3.connect(file)) as connection:
        return connection.execute(query, values).fetchall()


def identities(file: Path) -> list[str]:
    """Sessions in the order they were written."""
    return [identity for (identity,) in asked(file, "SELECT id FROM sessions ORDER BY number")]
