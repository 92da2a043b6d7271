"""A probe that goes on for as long as it is told to: rounds by the word, and every line that its sources brought.

    python -m tests.lab.rounds CONFIG       reads words from standard input, answers each with one line of JSON

`round`: one round; {service: verdict}. `lines`: {"lines": {message: how often}, "gaps": …}; a message is a line without
the headers that its way has put around it.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import secrets
import sys
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

from probe.evidence.line import parse_line
from probe.evidence.sources.source import Health, Lines, Source
from probe.model import Round, Verdict
from probe.service.clock import steady_clock
from probe.service.cycle import run_round
from probe.service.learnt import Learnt
from probe.service.sources import sources
from probe.service.watch import Watch
from probe.service.workshop import Workshop
from probe.sessions.open import Kit
from probe.sessions.tls import TlsContexts
from probe.settings import load, targets


class Counted:
    """A source, and how often each message has come."""

    def __init__(self, source: Source, messages: Counter[str]) -> None:
        self._source = source
        self._messages = messages

    @property
    def name(self) -> str:
        return self._source.name

    @property
    def health(self) -> Health:
        return self._source.health

    async def start(self) -> None:
        await self._source.start()

    async def follow(self) -> AsyncIterator[Lines]:
        async for lines in self._source.follow():
            self._messages.update(messages(lines.text))
            yield lines

    def hurry(self, seconds: float) -> None:
        self._source.hurry(seconds)

    async def close(self) -> None:
        await self._source.close()


def messages(text: bytes) -> list[str]:
    """The messages of whole lines; nothing of a line that is none."""
    lines = (parse_line(raw, now=0.0) for raw in text.splitlines())
    return [line.message for line in lines if line is not None]


async def main(config: str) -> None:
    settings = load(Path(config), environment=os.environ, hostname="lab")
    clock = steady_clock()
    kit = Kit(clock=clock, token=lambda: secrets.token_hex(8), contexts=TlsContexts())
    counts: Counter[str] = Counter()
    watched = [Counted(source, counts) for source in sources(settings, clock)]
    loop = asyncio.get_running_loop()
    async with Watch(watched, clock) as watch:
        workshop = Workshop(
            kit=kit, watch=watch, random=random.SystemRandom(), networks=settings.networks, learnt=Learnt(clock=clock)
        )
        _say("watching")
        while word := (await loop.run_in_executor(None, sys.stdin.readline)).strip():
            if word == "round":
                _say(_verdicts(await run_round(targets(settings), workshop, settings.vantage.name)))
            else:
                _say({"lines": counts, "gaps": sum(source.health.gaps for source in watched)})


def _verdicts(done: Round) -> dict[str, str]:
    """Of all services; of those that are not preserved standard error has more, which a failing test shows."""
    for result in done.results:
        if result.judgement.verdict is not Verdict.PRESERVED:
            print(f"{result.session.service}: {result.judgement.explanation}", file=sys.stderr, flush=True)
    return {result.session.service: result.judgement.verdict for result in done.results}


def _say(answer: object) -> None:
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
