"""One world per test, with short waits for PROXY headers; what is waited for in the log has a deadline."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from probe.demo.world import DemoWorld, demo_world
from tests.demo.clients import Logged

DEADLINE = 10.0


@pytest.fixture
async def world() -> AsyncIterator[DemoWorld]:
    async with demo_world(postfix_waits=0.5, dovecot_waits=0.3) as started:
        yield started


@pytest.fixture
def logged(world: DemoWorld) -> Logged:
    """Log lines that hold a text, as soon as there are so many."""

    async def lines_with(text: str, *, count: int = 1) -> list[str]:
        async with asyncio.timeout(DEADLINE):
            while True:
                found = [line for line in world.log_file.read_text().splitlines() if text in line]
                if len(found) >= count:
                    return found
                await asyncio.sleep(0.02)

    return lines_with
