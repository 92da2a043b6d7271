"""What each scene does to a connection, seen from both its ends."""

from __future__ import annotations

import asyncio
import socket
import time

import pytest

from probe.demo.scenes import Scene
from probe.demo.world import CLIENT, NODES, DemoWorld
from probe.model import Service
from tests.demo.clients import Logged, NamedImaps, connect, until_closed
from tests.demo.test_imapd import ENDED, decoded

QUIT = b"EHLO x\r\nNOOP\r\nNOOP\r\nNOOP\r\nHELP\r\nRSET\r\nQUIT\r\n"
COUNTED = "ehlo=1 rset=1 noop=3 help=1 quit=1 commands=7"


async def imap_session(world: DemoWorld) -> int:
    client = await asyncio.to_thread(lambda: NamedImaps(world, world.place(Service.IMAPS)))
    await asyncio.to_thread(client.logout)
    return client.port_of_client


@pytest.mark.parametrize(
    ("scene", "seen"),
    [(Scene.STRAIGHT, CLIENT), (Scene.BEHIND_NODE, NODES[1]), (Scene.HEADER_SENT, CLIENT)],
)
async def test_whom_the_server_sees(world: DemoWorld, logged: Logged, scene: Scene, seen: str) -> None:
    await world.change_to(scene)
    ended = await asyncio.to_thread(until_closed, world.place(Service.SMTP), QUIT)
    assert ended.said.startswith(b"220 ")
    [line] = await logged(COUNTED)
    assert f"]: disconnect from unknown[{seen}] {COUNTED}" in line


@pytest.mark.parametrize("scene", [Scene.STRAIGHT, Scene.HEADER_SENT])
async def test_the_clients_port_survives_with_its_address(world: DemoWorld, logged: Logged, scene: Scene) -> None:
    await world.change_to(scene)
    port = await imap_session(world)
    [line] = await logged(f"rip={CLIENT},")
    ended = ENDED.match(line)
    assert ended is not None
    assert decoded(ended["id"])[1:] == (port, CLIENT)


async def test_behind_a_node_even_the_session_id_is_the_nodes(world: DemoWorld, logged: Logged) -> None:
    await world.change_to(Scene.BEHIND_NODE)
    began = time.time()
    await imap_session(world)
    ended = [ENDED.match(line) for line in await logged(f"rip={NODES[1]},")]
    ids = [decoded(line["id"]) for line in ended if line is not None]
    assert ids
    assert all(address == NODES[1] and began - 5 < moment < time.time() for moment, _, address in ids)


async def test_a_missing_header_shows_at_the_virtual_address(world: DemoWorld) -> None:
    await world.change_to(Scene.HEADER_MISSING)
    smtp, imaps = await asyncio.gather(
        asyncio.to_thread(until_closed, world.place(Service.SMTP)),
        asyncio.to_thread(until_closed, world.place(Service.IMAPS)),
    )
    assert smtp.said.startswith(b"421 4.3.0 ")
    assert 0.5 <= smtp.seconds < 1.5
    assert imaps.said == b""
    assert 0.3 <= imaps.seconds < 1.3


def connect_times_out(place: tuple[str, int]) -> bool:
    with socket.socket() as sock:
        sock.settimeout(1.5)
        sock.bind((CLIENT, 0))
        try:
            sock.connect(place)
        except TimeoutError:
            return True
    return False


async def test_a_silent_drop_is_silent_and_heals(world: DemoWorld, logged: Logged) -> None:
    for _ in range(2):
        await world.change_to(Scene.SILENT)
        places = [world.place(service) for service in Service]
        assert all(await asyncio.gather(*[asyncio.to_thread(connect_times_out, place) for place in places]))
        await world.change_to(Scene.STRAIGHT)
        ended = await asyncio.to_thread(until_closed, world.place(Service.SMTP), b"QUIT\r\n")
        assert ended.said.startswith(b"220 ")
    assert len(await logged(f"disconnect from unknown[{CLIENT}]", count=2)) == 2
    assert "127.0.20.202" not in world.log_file.read_text()


async def test_a_dead_listener_says_nothing_and_leaves_nothing(world: DemoWorld) -> None:
    await world.change_to(Scene.DEAD)

    def silent() -> bool:
        with connect(world.place(Service.SMTP)) as sock:
            sock.settimeout(0.5)
            try:
                return sock.recv(1) == b"never"
            except TimeoutError:
                return True

    assert await asyncio.to_thread(silent)


async def test_other_clients_are_there(world: DemoWorld, logged: Logged) -> None:
    neighbours = await logged("unknown[127.1", count=6)
    assert all(CLIENT not in line for line in neighbours)
    await logged("rip=127.1", count=1)
