"""Run sessions against peers, side by side in one loop, and note everything that must not happen beside the verdict."""

from __future__ import annotations

import asyncio
import gc
import itertools
import logging
import os
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from probe.model import (
    Endpoint,
    Evidence,
    ImprintKind,
    Judgement,
    Login,
    Networks,
    Secret,
    Session,
    Timeouts,
    TlsOptions,
)
from probe.sessions.open import Kit, open_session
from probe.sessions.tls import TlsContexts
from probe.verdict.judge import judge
from tests.sessions.peers import NAME, Certificates, Peer, Visit

PASSWORD = "correct-horse-battery"
USER = "probe@lab.test"
VERBS = ["noop", "rset", "ehlo", "helo", "noop"]
SIDE_BY_SIDE = 48
LONGEST = 2.5
"""Seconds of a session's timeout: a loaded machine must be able to say all of a conversation in it."""
SOON = 2.0
"""Seconds within which a peer must have seen the client's end."""


def kit(contexts: TlsContexts | None = None) -> Kit:
    """The kit of a session, with tokens that count."""
    tokens = itertools.count()
    return Kit(clock=time.time, token=lambda: f"token{next(tokens)}", contexts=contexts or TlsContexts())


def endpoint(peer: Peer, *, session: float = LONGEST) -> Endpoint:
    """The endpoint of a peer, with login and the imprint that says most."""
    imprint = ImprintKind.FINGERPRINT if peer.service.speaks_smtp else ImprintKind.ID
    return Endpoint(
        path="lab",
        service=peer.service,
        host=peer.host,
        port=peer.port,
        tls=TlsOptions(server_name=NAME, ca_file=Certificates.shared().ca_file),
        login=Login(username=USER, password=Secret(PASSWORD)),
        imprint=imprint,
        timeouts=Timeouts(connect=1.0, session=session, evidence=0.1),
    )


def judged(session: Session) -> Judgement:
    """The verdict of a session of which no log says anything."""
    return judge(session, Evidence(), Networks())


@contextmanager
def deaf() -> Iterator[int]:
    """A listener whose queue is full: Linux drops further SYNs in silence."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.settimeout(0)
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


@dataclass(kw_only=True)
class Noise:
    """What a loop and the logs complain of while sessions run, and what is left of them."""

    complaints: list[str] = field(default_factory=list)
    tasks: list[str] = field(default_factory=list)
    descriptors: list[str] = field(default_factory=list)

    def complain(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.complaints.append(f"{context.get('message')}: {context.get('exception')!r}")


class _Ears(logging.Handler):
    def __init__(self, noise: Noise) -> None:
        super().__init__(logging.WARNING)
        self._noise = noise
        self._thread = threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self._thread:
            self._noise.complaints.append(record.getMessage())


def run_quietly(work: Callable[[], Awaitable[None]]) -> Noise:
    """Run work in a loop of its own; noise is what it said and what it left behind."""
    noise = Noise()
    with _listening(noise):
        asyncio.run(_within(work, noise))
    return noise


async def _within(work: Callable[[], Awaitable[None]], noise: Noise) -> None:
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(noise.complain)
    before = open_sockets()
    await work()
    deadline = loop.time() + SOON
    while loop.time() < deadline and (len(asyncio.all_tasks()) > 1 or open_sockets() - before):  # noqa: ASYNC110
        await asyncio.sleep(0.02)
    noise.tasks += [repr(task) for task in asyncio.all_tasks() - {asyncio.current_task()}]
    noise.descriptors += sorted(open_sockets() - before)
    gc.collect()
    await asyncio.sleep(0)


@contextmanager
def _listening(noise: Noise) -> Iterator[None]:
    ears = _Ears(noise)
    logging.getLogger().addHandler(ears)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(ears)


def open_sockets() -> set[str]:
    """Sockets of this process, by descriptor and inode."""
    found = set()
    for number in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{number}")
        except OSError:
            continue
        if target.startswith("socket:"):
            found.add(f"{number} {target}")
    return found


@dataclass(kw_only=True)
class Outcome:
    """What came of one session."""

    session: Session
    judgement: Judgement
    visits: Sequence[Visit]

    @property
    def phases(self) -> list[str]:
        return [str(timing.phase) for timing in self.session.phases]


async def outcome(peer: Peer, at: Endpoint, contexts: TlsContexts) -> Outcome:
    """One session, judged."""
    session = await open_session(at, kit(contexts), list(VERBS))
    return Outcome(session=session, judgement=judged(session), visits=peer.visits)


async def outcomes(work: dict[str, tuple[Peer, Endpoint]]) -> dict[str, Outcome | BaseException]:
    """All of them side by side; an exception is an outcome too, a wrong one."""
    places, contexts = asyncio.Semaphore(SIDE_BY_SIDE), TlsContexts()
    found: dict[str, Outcome | BaseException] = {}

    async def one(name: str, peer: Peer, at: Endpoint) -> None:
        async with places:
            try:
                found[name] = await outcome(peer, at, contexts)
            except Exception as error:
                found[name] = error

    await asyncio.gather(*(one(name, peer, at) for name, (peer, at) in work.items()))
    return found
