"""The PROXY-expecting twins: how long they wait, what they say, whom they believe."""

from __future__ import annotations

import asyncio
import socket
import time
from ipaddress import ip_address

import pytest

from probe.demo.header import escaped
from probe.demo.world import CLIENT, NAME, NODES, PROXY, DemoWorld
from probe.model import Peer, ProxyHeader, Service
from probe.sessions.proxy_header import LOCAL, header
from tests.demo.clients import PATIENCE, Logged, NamedImaps, NamedSmtp, connect, until_closed
from tests.demo.test_imapd import ENDED, decoded

CLAIMED = Peer(ip_address("203.0.113.7"), 40628)
TARGET = Peer(ip_address("127.0.20.202"), 25)
SORRY = f"421 4.3.0 {NAME} Server local error\r\n".encode()
SMTP_SERVICES = (Service.SMTP, Service.SUBMISSION, Service.SUBMISSIONS)
HEADERS = {version: header(version, CLAIMED, TARGET) for version in (ProxyHeader.V1, ProxyHeader.V2)}


@pytest.mark.parametrize("service", SMTP_SERVICES)
async def test_smtpd_waits_then_apologises(world: DemoWorld, logged: Logged, service: Service) -> None:
    ended = await asyncio.to_thread(until_closed, world.server_place(service, twin=True))
    assert ended.said == SORRY
    assert 0.5 <= ended.seconds < 1.5
    [line] = await logged("haproxy read: timeout error")
    assert f" postfix/smtpd-proxy{service.default_port}/smtpd[" in line
    [line] = await logged("disconnect from unknown[unknown]")
    assert line.endswith("commands=0/0")


async def test_dovecot_waits_then_closes_without_a_word(world: DemoWorld, logged: Logged) -> None:
    place = world.server_place(Service.IMAPS, twin=True)
    ended = await asyncio.to_thread(lambda: until_closed(place, source=NODES[1]))
    assert ended.said == b""
    assert 0.3 <= ended.seconds < 1.3
    [line] = await logged("haproxy:")
    assert line.endswith(f" dovecot: imap-login: Error: haproxy: Client timed out (rip={NODES[1]})")


@pytest.mark.parametrize("first", [b"", HEADERS[ProxyHeader.V2]], ids=["silent", "header"])
async def test_dovecot_trusts_only_its_proxies(world: DemoWorld, logged: Logged, first: bytes) -> None:
    ended = await asyncio.to_thread(until_closed, world.server_place(Service.IMAPS, twin=True), first)
    assert (ended.said, ended.seconds < 0.2) == (b"", True)
    [line] = await logged("haproxy:")
    assert line.endswith(f"imap-login: Warning: haproxy: Client not trusted (rip={CLIENT})")


HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01" + bytes(500)


async def test_tls_instead_of_a_header(world: DemoWorld, logged: Logged) -> None:
    ended = await asyncio.to_thread(until_closed, world.server_place(Service.SUBMISSIONS, twin=True), HELLO)
    assert ended.said == SORRY
    assert ended.seconds < 0.4
    [line] = await logged("unrecognized protocol header")
    assert r"haproxy read: unrecognized protocol header: \026\003\001\002" in line

    place = world.server_place(Service.IMAPS, twin=True)
    ended = await asyncio.to_thread(lambda: until_closed(place, HELLO, source=PROXY))
    assert (ended.said, ended.seconds < 0.2) == (b"", True)
    [line] = await logged("haproxy: Client disconnected")
    assert line.endswith(f"Error: haproxy: Client disconnected: Failed to read valid HAproxy data (rip={PROXY})")


async def test_a_health_check_that_hangs_up(world: DemoWorld, logged: Logged) -> None:
    await asyncio.to_thread(lambda: connect(world.server_place(Service.SMTP, twin=True)).close())
    await logged("warning: haproxy read: EOF")


@pytest.mark.parametrize("version", list(HEADERS))
async def test_smtpd_believes_any_header(world: DemoWorld, logged: Logged, version: ProxyHeader) -> None:
    sent = HEADERS[version] + b"EHLO x\r\nQUIT\r\n"
    ended = await asyncio.to_thread(until_closed, world.server_place(Service.SMTP, twin=True), sent)
    assert ended.said.startswith(f"220 {NAME} ".encode())
    [line] = await logged("disconnect from unknown[203.0.113.7]")
    assert line.endswith(" ehlo=1 quit=1 commands=2")


@pytest.mark.parametrize("version", list(HEADERS))
async def test_dovecot_logs_the_header_of_a_trusted_proxy(
    world: DemoWorld, logged: Logged, version: ProxyHeader
) -> None:
    place = world.server_place(Service.IMAPS, twin=True)
    client = await asyncio.to_thread(lambda: NamedImaps(world, place, source=PROXY, first=HEADERS[version]))
    await asyncio.to_thread(client.logout)
    [line] = await logged("rip=203.0.113.7,")
    ended = ENDED.match(line)
    assert ended is not None
    assert decoded(ended["id"])[1:] == (40628, "203.0.113.7")


@pytest.mark.parametrize("claims_nobody", [LOCAL, b"PROXY UNKNOWN\r\n"], ids=["v2", "v1"])
async def test_a_header_that_claims_nobody(world: DemoWorld, logged: Logged, claims_nobody: bytes) -> None:
    place = world.server_place(Service.SMTP, twin=True)
    ended = await asyncio.to_thread(until_closed, place, claims_nobody + b"QUIT\r\n")
    assert ended.said.startswith(b"220 ")
    await logged(f"disconnect from unknown[{CLIENT}] quit=1 commands=1")


def trickle(place: tuple[str, int], sent: bytes) -> bytes:
    """Send byte by byte, each in a packet of its own."""
    with connect(place) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in sent:
            sock.sendall(bytes([byte]))
        sock.settimeout(PATIENCE)
        return sock.recv(100)


@pytest.mark.parametrize("version", list(HEADERS))
async def test_a_header_in_pieces(world: DemoWorld, version: ProxyHeader) -> None:
    place = world.server_place(Service.SMTP, twin=True)
    assert (await asyncio.to_thread(trickle, place, HEADERS[version])).startswith(b"220 ")


BROKEN = {
    "v1 without end": b"PROXY TCP4 " + b"1" * 200,
    "v1 nonsense": b"PROXY TCP4 a b c d\r\n",
    "v1 port": b"PROXY TCP4 1.2.3.4 1.2.3.4 99999 1\r\n",
    "v2 short": b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x02ab",
    "v2 version": b"\r\n\r\n\0\r\nQUIT\n\x91\x11\0\x0c" + bytes(12),
    "http": b"GET / HTTP/1.1\r\n\r\n",
}


@pytest.mark.parametrize("sent", BROKEN.values(), ids=BROKEN.keys())
async def test_broken_headers(world: DemoWorld, logged: Logged, sent: bytes) -> None:
    ended = await asyncio.to_thread(until_closed, world.server_place(Service.SUBMISSION, twin=True), sent)
    assert ended.said == SORRY
    assert ended.seconds < 0.4
    [line] = await logged("unrecognized protocol header")
    assert escaped(sent[:8]) in line


async def test_a_header_where_none_is_wanted(world: DemoWorld, logged: Logged) -> None:
    ended = await asyncio.to_thread(until_closed, world.place(Service.SMTP), HEADERS[ProxyHeader.V2])
    greeting, *unsolicited = ended.said.splitlines()
    assert greeting.startswith(b"220 ")
    assert [line[:3] for line in unsolicited] == [b"500", b"500", b"500", b"221"]
    await logged(f"disconnect from unknown[{CLIENT}] quit=1")


async def test_smtp_behind_a_header_and_starttls(world: DemoWorld) -> None:
    def session() -> float:
        began = time.monotonic()
        with pytest.raises(OSError, match="421"):
            NamedSmtp(world.server_place(Service.SMTP, twin=True))
        return time.monotonic() - began

    assert await asyncio.to_thread(session) >= 0.5
