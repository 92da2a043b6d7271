"""A resolver that answers late, or never."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

from probe.sessions.lookup import Way, find


@dataclass
class Resolver:
    """Knows every name to be `addresses`, in turn, from when it is let go; an address it knows at once."""

    asked: list[str] = field(default_factory=list)
    let_go: threading.Event = field(default_factory=threading.Event)
    failures: list[OSError] = field(default_factory=list)
    addresses: Sequence[str] = ("127.0.0.1",)

    def __call__(self, host: str, port: int | None, family: int, flags: int) -> Way:
        if flags & socket.AI_NUMERICHOST:
            return find(host, port, family, flags)
        self.asked.append(host)
        assert self.let_go.wait(20)
        if self.failures:
            raise self.failures.pop()
        return socket.AF_INET, (self.addresses[(len(self.asked) - 1) % len(self.addresses)], 0)


def in_turn(*addresses: str) -> Resolver:
    """One that answers at once; a name with several addresses has another one first each time."""
    resolver = Resolver(addresses=addresses)
    resolver.let_go.set()
    return resolver


async def until_asked(resolver: Resolver, times: int) -> None:
    async with asyncio.timeout(10):
        while len(resolver.asked) < times:  # noqa: ASYNC110 - a thread asks
            await asyncio.sleep(0.005)
