"""The front door: who only holds connections shuts nobody out, and a rush at it holds up nothing else."""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from probe.service.web.connection import DEFAULT_PATIENCE
from probe.service.web.front_door import FrontDoor
from tests.service.web.serving import SOON, serving
from tests.service.web.test_web_config import TLS, certified, trusting, with_web

MOST = 4


@asynccontextmanager
async def silent(address: tuple[str, int], client: str = "127.0.0.1") -> AsyncIterator[asyncio.StreamReader]:
    """A connection that says nothing, from an address of this machine."""
    reader, writer = await asyncio.open_connection(*address, local_addr=(client, 0))
    try:
        yield reader
    finally:
        writer.close()


async def ended(reader: asyncio.StreamReader) -> bool:
    """Whether the server has hung up, or does so soon."""
    try:
        async with asyncio.timeout(SOON):
            return await reader.read(-1) == b""
    except ConnectionError:
        return True


async def test_handshakes_that_are_never_made_shut_nobody_out(tmp_path: Path) -> None:
    """The oldest goes, long before its time of 10 s is over."""
    certified(tmp_path)
    station = with_web(tmp_path, TLS)
    async with serving(station, scheme="https", most_connections=MOST) as client, AsyncExitStack() as stack:
        held = [await stack.enter_async_context(silent(client.address)) for _ in range(3 * MOST)]
        assert (await client.get("/-/healthy", ssl=trusting())).status == 200
        assert await ended(held[0])


async def test_a_handshake_that_is_ended_leaves_nothing_behind(tmp_path: Path) -> None:
    """asyncio gives each 256 KiB, and a flood comes faster than circles are collected."""
    certified(tmp_path)
    gc.collect()
    gc.disable()
    try:
        async with serving(with_web(tmp_path, TLS), scheme="https", most_connections=MOST) as client:
            for _ in range(20):
                async with silent(client.address):
                    pass
            assert (await client.get("/-/healthy", ssl=trusting())).status == 200
            assert sum(isinstance(one, ssl.SSLObject) for one in gc.get_objects()) <= MOST + 1
    finally:
        gc.enable()


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_who_holds_most_makes_room_and_not_who_waits_longest(tmp_path: Path, scheme: str) -> None:
    certified(tmp_path)
    station = with_web(tmp_path, TLS if scheme == "https" else "{}\n")
    async with serving(station, scheme=scheme, most_connections=MOST) as client, AsyncExitStack() as stack:
        alone = await stack.enter_async_context(silent(client.address, "127.0.0.2"))
        many = [await stack.enter_async_context(silent(client.address)) for _ in range(3 * MOST)]
        assert await ended(many[0])
        assert (await client.get("/-/healthy", ssl=trusting())).status == 200
        assert not alone.at_eof()


class Rush(socket.socket):
    """A listening socket at which somebody waits whenever it is looked at, so many times. `turns`: the loop's then."""

    def __init__(self, many: int) -> None:
        super().__init__()
        self.settimeout(0)
        self.loop_turns = 0
        self.turns: list[int] = []
        self.over = asyncio.Event()
        self.clients: list[socket.socket] = []
        self._many = many

    def accept(self) -> tuple[socket.socket, tuple[str, int]]:
        if len(self.turns) == self._many:
            self.over.set()
            raise BlockingIOError
        self.turns.append(self.loop_turns)
        client, server = socket.socketpair()
        self.clients.append(client)
        return server, ("192.0.2.1", len(self.turns))

    async def count(self) -> None:
        """Something else that wants its turns."""
        while not self.over.is_set():
            await asyncio.sleep(0)
            self.loop_turns += 1


async def no_answer(_: web.BaseRequest) -> web.Response:
    raise AssertionError


async def in_clear() -> None:
    """How each connection is spoken to."""


@pytest.mark.parametrize(("most", "quiet"), [(MOST, 10 * MOST), (10 * MOST, MOST)], ids=["of all", "of the quiet"])
async def test_a_rush_holds_up_nothing_else_and_each_connection_makes_room_once(most: int, quiet: int) -> None:
    rush = Rush(5 * MOST)
    door = FrontDoor(web.Server(no_answer), in_clear, patience=DEFAULT_PATIENCE, most=lambda: most, quiet=quiet)
    async with asyncio.timeout(SOON), asyncio.TaskGroup() as group:
        group.create_task(rush.count())
        door.open([rush])
        await rush.over.wait()
    assert len(set(rush.turns)) == 5 * MOST
    closed = [_is_closed(one) for one in rush.clients]
    assert (closed[: 4 * MOST], closed[4 * MOST :]) == ([True] * 4 * MOST, [False] * MOST)
    await door.close()
    for one in rush.clients:
        one.close()


class Scarce(socket.socket):
    """A listening socket at which no connection can be accepted, for there are no descriptors left."""

    def __init__(self) -> None:
        super().__init__()
        self.settimeout(0)
        self.asked = asyncio.Event()

    def accept(self) -> tuple[socket.socket, tuple[str, int]]:
        self.asked.set()
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


async def test_that_descriptors_are_lacking_is_said_once_however_often_it_is_found(
    capsys: pytest.CaptureFixture[str],
) -> None:
    scarce = [Scarce() for _ in range(3)]
    door = FrontDoor(web.Server(no_answer), in_clear, patience=DEFAULT_PATIENCE, most=lambda: MOST)
    door.open(scarce)
    await asyncio.gather(*(one.asked.wait() for one in scarce))
    await door.close()
    assert capsys.readouterr().err.count("the web server cannot accept connections") == 1


def _is_closed(client: socket.socket) -> bool:
    client.settimeout(0)
    try:
        return client.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True
