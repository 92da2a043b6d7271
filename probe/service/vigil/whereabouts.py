"""Where endpoints are. A name is asked for again and again: it may come to mean another address amid a change.

- At once where an endpoint goes, or a session found it elsewhere: knocks where it was say nothing of it any more.
- A name that means several addresses in turn has left none of them.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

from probe.model import Address, Edge, EndpointName, Moved, plain_address
from probe.service.vigil.post import Post
from probe.sessions.faults import SocketAddress, as_refusal
from probe.sessions.journal import Journal
from probe.sessions.knock import Aim, Knocker
from probe.sessions.lookup import resolve
from probe.sessions.open import Kit

RESOLVE_EVERY = 2.0
MOST_MOVES = 100


class Whereabouts:
    """The addresses of endpoints, and what became of them, each change of a host once."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit
        self._known: dict[EndpointName, float] = {}
        self._been: set[tuple[EndpointName, Address]] = set()
        self._again = asyncio.Event()
        self.moves: tuple[Moved, ...] = ()

    async def aim(self, post: Post) -> Aim:
        """Where to knock."""
        self._known[post.endpoint.name] = self._kit.clock()
        family, address = await self._resolved(post)
        return Aim(post.endpoint.name, family, address, source=post.endpoint.source_address)

    def look_again(self) -> None:
        """Ask for names now."""
        self._again.set()

    async def follow(self, posts: Sequence[Post], knocker: Knocker) -> None:
        """Lead knocks to where names lead, for ever."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RESOLVE_EVERY):
                    await self._again.wait()
            self._again.clear()
            await asyncio.gather(*(self._follow(post, knocker) for post in posts))

    async def _follow(self, post: Post, knocker: Knocker) -> None:
        asked, before, name = self._kit.clock(), post.address, post.endpoint.name
        family, address = await self._resolved(post)
        if address is None:
            return
        known, self._known[name] = self._known[name], asked
        if post.address is None or post.address == before:
            return
        knocker.lead(name, family, address)
        now = self._kit.clock()
        if before is not None and (name, post.address) not in self._been:
            post.moved(known, now)
        self._been |= {(name, one) for one in (before, post.address) if one is not None}
        self._note(Moved(host=post.endpoint.host, edge=Edge(known, now), before=before, after=post.address))

    def _note(self, move: Moved) -> None:
        """Each change of a host once, though all its endpoints make it."""
        latest = next((one for one in reversed(self.moves) if one.host == move.host), None)
        if latest is None or latest.after != move.after:
            self.moves = (*self.moves, move)[-MOST_MOVES:]

    async def _resolved(self, post: Post) -> tuple[int, SocketAddress | None]:
        """Where the endpoint is; None while its name does not resolve, of which sessions tell."""
        endpoint = post.endpoint
        try:
            async with asyncio.timeout(endpoint.timeouts.connect):
                family, address = await resolve(endpoint, Journal(self._kit.clock), self._kit.lookups)
        except Exception as error:
            if as_refusal(error) is None:
                raise
            return 0, None
        post.address = plain_address(address[0])
        return family, address
