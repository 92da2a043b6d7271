"""Loki killed and started again, tails refused, broken, lossy and doubling, under shippers that never stop.

Whatever was pushed is delivered exactly as often as Loki holds it: nothing lost, nothing twice, the counts compared.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from contextlib import suppress

import pytest
from aiohttp import web

from tests.evidence.sources.loki_reading import OTHER_POD, POD, SECOND, now, reading_loki, serving, swept
from tests.evidence.sources.scripted_loki import ScriptedLoki

LINES = 1500


class Shipper:
    """Pushes numbered lines as shippers do: in batches, late, again after a refusal, several to one stamp."""

    def __init__(self, loki: ScriptedLoki, labels: dict[str, str], chance: random.Random) -> None:
        self.loki = loki
        self.labels = labels
        self.chance = chance
        self.written: Counter[bytes] = Counter()
        self.backlog: list[tuple[int, str]] = []

    async def run(self, lines: int) -> None:
        number = 0
        while number < lines or self.backlog:
            for _ in range(self.chance.randrange(1, 30) if number < lines else 0):
                text = f"{number} postfix/smtpd[1]: connect"
                self.backlog.append((self.stamp(), text))
                self.written[text.encode() + b"\n"] += 1
                number += 1
            if self.chance.random() < 0.9:
                with suppress(ConnectionError):
                    self.loki.push(self.labels, self.backlog)
                    self.backlog = []
            await asyncio.sleep(self.chance.choice((0, 0, 0.001, 0.01, 0.03)))

    def stamp(self) -> int:
        coarse = self.chance.choice((1, 1, 1_000_000, 10_000_000))
        late = self.chance.choice((0, 0, 0, 0, 0, self.chance.randrange(60)))
        return now() // coarse * coarse - late * SECOND


class Mishaps:
    """What happens to a Loki and to the way there."""

    def __init__(self, loki: ScriptedLoki, chance: random.Random) -> None:
        self.loki = loki
        self.chance = chance
        self.restarts = 0

    async def run(self) -> None:
        acts = (self.restart, self.restart, self.end_tails, self.no_tails, self.be_lossy, self.refuse, self.small_pages)
        while True:
            await asyncio.sleep(self.chance.uniform(0, 0.15))
            await self.chance.choice(acts)()

    async def restart(self) -> None:
        self.restarts += 1
        await self.loki.kill()
        await asyncio.sleep(self.chance.uniform(0, 0.3))
        await self.loki.serve()

    async def end_tails(self) -> None:
        self.loki.end_tails(self.chance.choice(("reached tail max duration limit", "all ingesters closed")))

    async def no_tails(self) -> None:
        self.loki.tails_allowed = self.chance.random() < 0.7

    async def be_lossy(self) -> None:
        self.loki.loses, self.loki.doubles, self.loki.drops = (self.chance.choice((0.0, 0.2)) for _ in range(3))

    async def refuse(self) -> None:
        for _ in range(self.chance.randrange(3)):
            status = self.chance.choice((429, 500, 503))

            async def answer(_: web.Request, status: int = status) -> web.StreamResponse:
                return web.Response(status=status, text="too many outstanding requests")

            self.loki.script.append(answer)

    async def small_pages(self) -> None:
        self.loki.max_entries_limit = self.chance.choice((250, 500, 5000))


@pytest.mark.calm
@pytest.mark.parametrize("seed", range(int(os.environ.get("LOKI_SEEDS", "6"))))
async def test_nothing_is_lost_and_nothing_doubled(seed: int) -> None:
    chance = random.Random(seed)
    async with serving(seed=seed) as loki:
        loki.push(POD, [(now() - number * SECOND, f"old {number}") for number in range(50)])
        async with reading_loki(loki) as consumer:
            shippers = [Shipper(loki, labels, random.Random(chance.random())) for labels in (POD, OTHER_POD)]
            mishaps = Mishaps(loki, chance)
            trouble = asyncio.create_task(mishaps.run())
            async with asyncio.timeout(60):
                await asyncio.gather(*(shipper.run(LINES) for shipper in shippers))
            trouble.cancel()
            await asyncio.gather(trouble, return_exceptions=True)
            if not loki.is_up:
                await loki.serve()
            loki.script.clear()
            held = Counter(
                f"{text}\n".encode()
                for lines in loki.streams.values()
                for _, text in lines
                if not text.startswith("old")
            )
            assert held == shippers[0].written + shippers[1].written
            with suppress(TimeoutError):
                await consumer.until(lambda: len(consumer.lines) >= held.total(), 20)
            await swept(loki, consumer)
            arrived = Counter(consumer.lines)
            assert (held - arrived, arrived - held) == (Counter(), Counter())
            assert mishaps.restarts > 0
