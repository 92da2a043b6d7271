"""The IMAP side, spoken to with imaplib: replies, endings, and session ids that tell the truth."""

from __future__ import annotations

import asyncio
import imaplib
import re
import time
from base64 import b64decode
from ipaddress import ip_address

import pytest

from probe.demo.world import CLIENT, DemoWorld
from probe.model import Service
from tests.demo.clients import Logged, NamedImaps, connect, until_closed

ENDED = re.compile(
    r"^\w{3} [ \d]\d [\d:]{8} mail dovecot: imap-login: (?P<event>.+): user=<(?P<user>[^>]*)>, (?:method=PLAIN, )?"
    r"rip=(?P<rip>[\d.]+), lip=127\.10\.1\.5, (?:mpid=\d+, )?TLS, session=<(?P<id>[A-Za-z0-9+/]+)>$"
)
MINE = f"rip={CLIENT},"


def decoded(session_id: str) -> tuple[float, int, str]:
    packed = b64decode(session_id + "=" * (-len(session_id) % 4))
    micros = int.from_bytes(packed[:6], "little")
    now = int(time.time() * 1_000_000)
    return (
        (now - (now - micros) % (1 << 48)) / 1_000_000,
        int.from_bytes(packed[6:8], "little"),
        str(ip_address(packed[8:])),
    )


async def test_session_id_carries_moment_port_and_address(world: DemoWorld, logged: Logged) -> None:
    def session() -> tuple[float, int, float]:
        began = time.time()
        client = NamedImaps(world, world.place(Service.IMAPS))
        connected = time.time()
        assert "IMAP4REV1" in client.capabilities
        assert client.noop()[0] == "OK"
        client.logout()
        return began, client.port_of_client, connected

    began, port, connected = await asyncio.to_thread(session)
    [line] = await logged(MINE)
    ended = ENDED.match(line)
    assert ended is not None
    assert ended["event"] == "Disconnected: Aborted login by logging out (no auth attempts in 0 secs)"
    assert (ended["user"], ended["rip"]) == ("", CLIENT)
    moment, its_port, address = decoded(ended["id"])
    assert began - 0.001 <= moment <= connected
    assert (its_port, address) == (port, CLIENT)


@pytest.mark.parametrize("right", [True, False])
async def test_login(world: DemoWorld, logged: Logged, *, right: bool) -> None:
    user, password = world.house.account

    def session() -> None:
        client = NamedImaps(world, world.place(Service.IMAPS))
        if right:
            client.login(user, password)
        else:
            with pytest.raises(imaplib.IMAP4.error, match="AUTHENTICATIONFAILED"):
                client.login(user, "wrong")
        client.logout()

    await asyncio.to_thread(session)
    [line] = await logged(MINE)
    ended = ENDED.match(line)
    assert ended is not None
    assert ended["user"] == user
    failed = "Disconnected: Aborted login by logging out (auth failed, 1 attempts in 0 secs)"
    assert ended["event"] == ("Login" if right else failed)


async def test_id_is_logged_with_its_token(world: DemoWorld, logged: Logged) -> None:
    def session() -> None:
        client = NamedImaps(world, world.place(Service.IMAPS))
        client.xatom("ID", '("name" "probe" "token" "abc123")')
        client.logout()

    await asyncio.to_thread(session)
    [line] = await logged("ID sent")
    assert "imap-login: ID sent: name=probe, token=abc123: user=<>, rip=" in line


def too_long(world: DemoWorld) -> None:
    client = NamedImaps(world, world.place(Service.IMAPS))
    client.send(b"a" * 20_000)
    with pytest.raises(imaplib.IMAP4.abort, match=r"Input buffer full|EOF"):
        client.noop()
    client.shutdown()


def too_foolish(world: DemoWorld) -> None:
    client = NamedImaps(world, world.place(Service.IMAPS))
    for _ in range(9):
        with pytest.raises(imaplib.IMAP4.error, match="BAD"):
            client.xatom("HOCUS")
    with pytest.raises(imaplib.IMAP4.abort, match="Too many"):
        client.xatom("HOCUS")
    client.shutdown()


def not_tls(world: DemoWorld) -> None:
    until_closed(world.place(Service.IMAPS), b"a1 LOGOUT\r\n")


def leave(world: DemoWorld) -> None:
    NamedImaps(world, world.place(Service.IMAPS)).shutdown()


@pytest.mark.parametrize(
    ("misbehave", "event"),
    [
        (too_long, "Disconnected: Input buffer full (no auth attempts in "),
        (too_foolish, "Disconnected: Too many invalid commands (no auth attempts in "),
        (not_tls, "Disconnected: Connection closed: SSL_accept() failed: "),
        (leave, "Disconnected: Connection closed (no auth attempts in "),
    ],
)
async def test_every_end_is_logged_once(world: DemoWorld, logged: Logged, misbehave: object, event: str) -> None:
    assert callable(misbehave)
    await asyncio.to_thread(misbehave, world)
    [line] = await logged(MINE)
    ended = ENDED.match(line)
    assert ended is not None
    assert ended["event"].startswith(event)


async def test_hanging_up_at_once_is_logged(world: DemoWorld, logged: Logged) -> None:
    await asyncio.to_thread(lambda: connect(world.place(Service.IMAPS)).close())
    [line] = await logged(MINE)
    assert ENDED.match(line)
