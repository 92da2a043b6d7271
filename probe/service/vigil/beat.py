"""How one endpoint's sessions go on during a watch: the one under way, and what is known of it so far."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from probe.model import Evidence, Networks, Result, Session, UnderWay
from probe.service.vigil.post import Post
from probe.verdict.judge import judge


@dataclass(slots=True)
class Beat:
    """`opened`: when the session under way, which is not written down yet, began.

    `talking`: since when its conversation, or that of another one in its place, goes on; None: it waits for lines, or
    for the name of its host and its place before.
    `given_up`: it was broken off, for the endpoint is back.
    """

    post: Post
    opened: float | None = None
    given_up: bool = False
    wanted_now: asyncio.Event = field(default_factory=asyncio.Event)
    running: asyncio.Task[Result] | None = None
    talking: float | None = None

    def want(self, now: float) -> None:
        """A session now, ahead of its turn, as soon as there is room for it."""
        if not self.wanted_now.is_set():
            self.post.next_session = now
            self.wanted_now.set()

    @property
    def judged(self) -> Result | None:
        """The session that is judged, and not written down yet."""
        if self.opened is None or self.running is None or not self.running.done() or self.running.cancelled():
            return None
        return self.running.result()

    def under_way(self, closed: Session | None, networks: Networks) -> UnderWay | None:
        """What is known of the session; `closed`: its talk is over, and its evidence is looked for."""
        if self.opened is None:
            return None
        session = closed if self.judged is None else self.judged.session
        if self.talking is not None:
            return UnderWay(opened=self.talking)
        if session is None:
            return UnderWay(opened=self.opened, begun=False)
        failed = self.failed(closed, networks)
        verdict = None if failed is None else failed.judgement.verdict
        return UnderWay(opened=session.opened, closed=session.closed, failed=verdict)

    def failed(self, closed: Session | None, networks: Networks) -> Result | None:
        """The session where it came to nothing, judged as far as it can be."""
        if self.opened is None or self.talking is not None:
            return None
        if self.judged is not None:
            result = self.judged
        elif closed is not None:
            result = unproven(closed, networks)
        else:
            return None
        session = result.session
        return None if session.fault is None or session.held_back or self.post.has_left(session) else result


def unproven(session: Session, networks: Networks) -> Result:
    """What a session proves by itself."""
    return Result(session=session, evidence=Evidence(), judgement=judge(session, Evidence(), networks))
