"""A server that never stops must not fill our memory: the peak stays far below what it sent."""

from __future__ import annotations

import asyncio
import tracemalloc

import pytest

from probe.model import Service
from probe.sessions.open import open_session
from probe.sessions.tls import TlsContexts
from tests.sessions.peers import Peer, Town
from tests.sessions.rows import FLOODS, Row
from tests.sessions.running import VERBS, endpoint, kit

MOST = 4 * 1024 * 1024
"""Peer and session together; the peers send 10 MiB and more."""

CASES = [pytest.param(row, row.services[-1], id=f"{row.name}/{row.services[-1]}") for row in FLOODS]


@pytest.mark.parametrize(("row", "service"), CASES)
def test_memory_stays_flat(town: Town, row: Row, service: Service) -> None:
    peer = town.open(Peer(service=service, acts=row.acts))
    at, contexts = endpoint(peer, session=0.5), TlsContexts()
    contexts.context(at.tls)
    tracemalloc.start()
    try:
        session = asyncio.run(open_session(at, kit(contexts), list(VERBS)))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < MOST
    assert len(repr(session)) < 100_000
