"""Background clients whose sessions look just like the probe's: run as a program inside a lab's namespace.

Rule 1: a session is what a probe without a password would do: SMTP with EHLO, STARTTLS, EHLO, a random number of
        NOOP, RSET, EHLO and HELO in random order, QUIT; IMAPS with LOGOUT alone.
Rule 2: every session binds one of the given source addresses, so that masked sessions of many clients become one.
Rule 3: sessions start as a Poisson process would let them: nobody can rely on their spacing.
Rule 4: stopped by SIGTERM or SIGINT, it ends running sessions and prints how many of each kind went how.

Standard library only; a failing session is counted, never a reason to stop.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import signal
import ssl
from collections import Counter
from dataclasses import dataclass

SESSION_SECONDS = 20.0
SERVICES = ("smtp", "submission", "submissions", "imaps")
PORTS = {"smtp": 25, "submission": 587, "submissions": 465, "imaps": 993}
FILLERS = {"NOOP": 9, "RSET": 9, "EHLO client.example": 7, "HELO client.example": 7}
"""Commands and how often each at most: what the probe draws from (probe/sessions/imprint.py MOST)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Crowd:
    """What the background is to look like."""

    host: str
    ports: dict[str, int]
    sources: tuple[str, ...]
    rate: float
    mix: dict[str, float]
    seed: int | None


def trusting_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class Conversation:
    """One connection, line by line."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def ask(self, line: str) -> str:
        self._writer.write(line.encode() + b"\r\n")
        await self._writer.drain()
        return await self.reply()

    async def reply(self) -> str:
        """The last line of an SMTP reply."""
        while True:
            line = (await self._reader.readline()).decode(errors="replace")
            if not line:
                raise ConnectionError("closed in the middle of the conversation")
            if line[3:4] != "-":
                return line.rstrip()

    async def tagged(self, tag: str, line: str) -> str:
        """The tagged answer to an IMAP command."""
        self._writer.write(f"{tag} {line}\r\n".encode())
        while (answer := (await self._reader.readline()).decode(errors="replace")) and not answer.startswith(tag + " "):
            pass
        return answer

    async def start_tls(self, context: ssl.SSLContext) -> None:
        await self._writer.start_tls(context)

    async def close(self) -> None:
        self._writer.close()
        with contextlib.suppress(OSError, ssl.SSLError):
            await self._writer.wait_closed()


async def smtp_session(talk: Conversation, service: str, context: ssl.SSLContext, dice: random.Random) -> None:
    await talk.reply()
    await talk.ask("EHLO client.example")
    if service != "submissions":
        await talk.ask("STARTTLS")
        await talk.start_tls(context)
        await talk.ask("EHLO client.example")
    commands = [filler for filler, most in FILLERS.items() for _ in range(dice.randint(0, most))]
    dice.shuffle(commands)
    for command in commands:
        await talk.ask(command)
    await talk.ask("QUIT")


async def imaps_session(talk: Conversation) -> None:
    await talk.reply()
    await talk.tagged("a1", "LOGOUT")


async def session(crowd: Crowd, service: str, context: ssl.SSLContext, dice: random.Random) -> None:
    tls = context if service in ("submissions", "imaps") else None
    reader, writer = await asyncio.open_connection(
        crowd.host, crowd.ports[service], ssl=tls, local_addr=(dice.choice(crowd.sources), 0)
    )
    talk = Conversation(reader, writer)
    try:
        if service == "imaps":
            await imaps_session(talk)
        else:
            await smtp_session(talk, service, context, dice)
    finally:
        await talk.close()


async def run(crowd: Crowd, stop: asyncio.Event) -> Counter[str]:
    """Open sessions until told to stop; how many of which kind ended how."""
    counts: Counter[str] = Counter()
    context = trusting_context()
    dice = random.Random(crowd.seed)

    async def counted(service: str) -> None:
        try:
            async with asyncio.timeout(SESSION_SECONDS):
                await session(crowd, service, context, dice)
        except (OSError, ssl.SSLError, TimeoutError, ValueError) as failure:
            counts[f"{service}:{type(failure).__name__}"] += 1
        else:
            counts[f"{service}:ok"] += 1

    services, weights = list(crowd.mix), list(crowd.mix.values())
    async with asyncio.TaskGroup() as tasks:
        while not stop.is_set():
            tasks.create_task(counted(dice.choices(services, weights)[0]))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), dice.expovariate(crowd.rate))
    return counts


def parse(arguments: list[str] | None = None) -> Crowd:
    parser = argparse.ArgumentParser(description="Background clients that look like the probe.")
    parser.add_argument("--host", required=True)
    parser.add_argument("--sources", required=True, help="comma-separated source addresses")
    parser.add_argument("--rate", type=float, default=20.0, help="sessions a second, all services together")
    parser.add_argument("--mix", default="", help="as imaps=3,smtp=1; default: all alike")
    parser.add_argument("--ports", default="", help="as smtp=2526; default: the usual ones")
    parser.add_argument("--seed", type=int, default=None)
    given = parser.parse_args(arguments)
    mix = {name: float(weight) for name, weight in _pairs(given.mix)} or dict.fromkeys(SERVICES, 1.0)
    ports = PORTS | {name: int(port) for name, port in _pairs(given.ports)}
    return Crowd(
        host=given.host,
        ports=ports,
        sources=tuple(given.sources.split(",")),
        rate=given.rate,
        mix=mix,
        seed=given.seed,
    )


def _pairs(text: str) -> list[tuple[str, str]]:
    return [(name, value) for name, _, value in (part.partition("=") for part in text.split(",") if part)]


async def main() -> None:
    crowd = parse()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    print("started", flush=True)
    print(json.dumps(dict(sorted((await run(crowd, stop)).items()))), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
