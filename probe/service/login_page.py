"""Where Dovecot's count of logins is read: one page over HTTP, bounded in time and size; every failure is a reason."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from probe.evidence.dovecot_metrics import NoCounter, Reading, Selector, login_counter
from probe.model import Clock
from probe.topology.http_get import Answer, HttpFault, http_get

LARGEST_PAGE = 4 << 20

Get = Callable[[str], Awaitable[Answer]]
"""Fetches a page. It may raise OSError or HttpFault; how long it may take is bounded by whoever calls."""


async def get_page(url: str) -> Answer:
    """Fetch over the network."""
    return await http_get(url, most=LARGEST_PAGE)


@dataclass(frozen=True, slots=True)
class Unread:
    """The page cannot be read. Whatever is of one `kind` is one trouble, though it reads differently each time."""

    kind: str
    reason: str


@dataclass(frozen=True, slots=True)
class Page:
    """Where the count is read, and by which clock. Without a `counter` the most telling of the known ones is taken."""

    url: str
    counter: Selector | None
    clock: Clock
    get: Get = get_page

    async def read(self, counter: Selector | None, bound: float) -> Reading | Unread:
        """The count as it is now; else why it cannot be read."""
        try:
            async with asyncio.timeout(bound):
                answer = await self.get(self.url)
        except TimeoutError:
            return Unread("silent", f"no answer within {bound:g} s")
        except OSError as error:
            return Unread(f"network {error.errno}", _why(error))
        except HttpFault as fault:
            return Unread("no HTTP", str(fault))
        if answer.status != 200:
            elsewhere = f", which points to {answer.headers['location']!r}" if "location" in answer.headers else ""
            return Unread(f"status {answer.status}", f"status {answer.status}{elsewhere}")
        found = login_counter(answer.body, counter or self.counter)
        return Unread("no counter", found.reason) if isinstance(found, NoCounter) else found


def _why(error: OSError) -> str:
    """asyncio puts a tuple into its message; what OpenSSL and the resolver say has numbers of its own."""
    own = isinstance(error, ssl.SSLError | socket.gaierror) or not error.errno
    return str(error.strerror or error) if own else os.strerror(error.errno or 0)
