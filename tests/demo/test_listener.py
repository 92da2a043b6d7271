"""A connection has one number at the door and another one at its server: what is left of it takes nobody's place."""

from __future__ import annotations

import asyncio
import socket
import time
from contextlib import suppress

import pytest

from probe.demo.door import Arrival
from probe.demo.imapd import serve_imaps
from probe.demo.listener import Listener
from probe.demo.smtpd import serve_smtp
from probe.demo.world import DemoWorld
from probe.model import Peer, Service, plain_address

WAYS = {Service.IMAPS: serve_imaps, Service.SUBMISSIONS: serve_smtp}


@pytest.mark.parametrize("service", WAYS)
async def test_a_handshake_that_is_cancelled_ends_by_a_number_of_its_own(world: DemoWorld, service: Service) -> None:
    loop = asyncio.get_running_loop()
    client, server = socket.socketpair()
    client.settimeout(0)
    server.settimeout(0)
    arrival = Arrival(server, Peer(plain_address("192.0.2.1"), 40000), time.time())
    with client, server:
        serving = asyncio.create_task(WAYS[service](Listener(house=world.house, service=service), arrival))
        await loop.sock_sendall(client, b"\x16\x03\x01\x02\x00")  # the head of a ClientHello, and no more
        for _ in range(20):  # through all steps of its begin
            await asyncio.sleep(0)
            assert not loop.remove_reader(server)  # RuntimeError where a transport has the number
        assert not serving.done()
        serving.cancel()
        with suppress(asyncio.CancelledError, OSError):
            await serving
        async with asyncio.timeout(5):
            while await loop.sock_recv(client, 4096):
                pass
