"""Where endpoints are. A name is asked for again and again: it may come to mean another address amid a change."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from probe.model import Edge, Moved, plain_address
from probe.service.vigil.post import Post
from probe.service.workshop import Workshop
from probe.sessions.faults import SocketAddress, as_refusal
from probe.sessions.journal import Journal
from probe.sessions.knock import Aim, Knocker
from probe.sessions.lookup import resolve

RESOLVE_EVERY = 10.0
MOST_MOVES = 100


class Whereabouts:
    """The addresses of endpoints, and what became of them, each change of a host once."""

    def __init__(self, workshop: Workshop) -> None:
        self._kit = workshop.kit
        self._asked = self._kit.clock()
        self.moves: tuple[Moved, ...] = ()

    async def aim(self, post: Post) -> Aim:
        """Where to knock."""
        family, address = await self._resolved(post)
        return Aim(post.endpoint.name, family, address, source=post.endpoint.source_address)

    async def follow(self, posts: Sequence[Post], knocker: Knocker) -> None:
        """Lead knocks to where names lead, for ever."""
        while True:
            await asyncio.sleep(RESOLVE_EVERY)
            asked, known = self._kit.clock(), len(self.moves)
            for post in posts:
                before = post.address
                family, address = await self._resolved(post)
                if address is None or post.address is None or post.address == before:
                    continue
                knocker.lead(post.endpoint.name, family, address)
                edge = Edge(self._asked, self._kit.clock())
                moved = Moved(host=post.endpoint.host, edge=edge, before=before, after=post.address)
                of_this_turn = {(one.host, one.after) for one in self.moves[known:]}
                if (moved.host, moved.after) not in of_this_turn:
                    self.moves = (*self.moves, moved)
            self._asked, self.moves = asked, self.moves[-MOST_MOVES:]

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
