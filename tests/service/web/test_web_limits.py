"""Whoever is slow, large or many: bounded, and everybody else is served meanwhile."""

from __future__ import annotations

import asyncio
import resource
import socket
from contextlib import suppress
from pathlib import Path

import pytest

from probe.model import EndpointName, Verdict
from probe.service.station import Asked
from probe.service.web import CannotListen
from probe.service.web.app import PAGES, PROBES, PROBES_EACH
from probe.service.web.connection import Patience
from tests.service.web.serving import SOON, Client, serving
from tests.service.web.stage import SETTINGS, Scripted, session_of, settings_of, story

HASTY = Patience(head=0.3, idle=0.3, unread=0.3, handshake=0.3)
"""For servers that hang up; others keep their usual patience, so that a hasty one is not what a test sees."""

HEAD = b"GET /-/healthy HTTP/1.1\r\nHost: localhost\r\n"


async def hung_up(client: Client, sent: bytes, every: float = 0.05) -> bytes:
    """What comes back to somebody who sends an octet now and then, until the server hangs up."""
    reader, writer = await asyncio.open_connection(*client.address)
    answer = asyncio.create_task(reader.read(-1))
    with suppress(ConnectionError):
        for octet in sent:
            writer.write(bytes([octet]))
            await writer.drain()
            if (await asyncio.wait([answer], timeout=every))[0]:
                break
    try:
        async with asyncio.timeout(SOON):
            return await answer
    except ConnectionError:
        return b""
    finally:
        writer.close()


@pytest.mark.parametrize(
    "sent",
    [b"", HEAD, b"GET / HTTP/1.1\r\n" + b"X-A: b\r\n" * 100],
    ids=["nothing", "half a head", "line by line"],
)
async def test_a_head_that_trickles_in_is_not_waited_for(station: Scripted, sent: bytes) -> None:
    async with serving(station, patience=HASTY) as client, asyncio.timeout(SOON):
        assert await hung_up(client, sent) == b""
        assert (await client.get("/-/healthy")).status == 200


async def test_a_connection_without_a_request_ends(station: Scripted) -> None:
    async with serving(station, patience=HASTY) as client:
        answer = await client.raw(HEAD + b"\r\n")
    assert answer.startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("begun", [b"", b"GET"], ids=["after the answer", "with the request"])
async def test_the_next_head_may_not_trickle_in_either(station: Scripted, begun: bytes) -> None:
    async with serving(station, patience=Patience(head=0.3)) as client, asyncio.timeout(SOON):
        reader, writer = await asyncio.open_connection(*client.address)
        writer.write(HEAD + b"\r\n" + begun)
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        writer.write(b"G")
        rest = await reader.read(-1)
        assert b"HTTP/1.1 200" not in rest
        assert b"aiohttp" not in rest
        writer.close()


async def test_a_request_under_way_is_not_hurried(station: Scripted) -> None:
    """Twice as long as any patience of the connection's."""

    async def answer(name: EndpointName, seconds: float) -> Asked:
        await asyncio.sleep(2 * HASTY.head)  # the time itself is what is tested
        return Asked(result=session_of(name, station.clock()))

    station.answers = answer
    async with serving(station, patience=HASTY) as client:
        assert "probe_success 1.0" in (await client.get("/probe?path=vip&service=smtp")).text


async def _poke(deaf: socket.socket) -> None:
    """Send an octet now and then, until the other side has hung up."""
    while True:
        await asyncio.get_running_loop().sock_sendall(deaf, b"G")
        await asyncio.sleep(0.02)


async def test_who_does_not_read_his_answer_is_left(station: Scripted) -> None:
    story(station, (100, Verdict.REFUSED), every=3600)
    async with serving(station, patience=HASTY) as client, asyncio.timeout(SOON):
        with socket.socket() as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            deaf.settimeout(0)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(deaf, client.address)
            wish = b"GET /api/v1/sessions?limit=500 HTTP/1.1\r\nHost: localhost\r\n\r\n"
            await loop.sock_sendall(deaf, wish * 30)
            with pytest.raises(ConnectionError):
                await _poke(deaf)
        assert (await client.get("/-/healthy")).status == 200


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET /" + b"a" * 10_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", b"400"),
        (HEAD + b"X-Long: " + b"a" * 10_000 + b"\r\n\r\n", b"400"),
        (HEAD + b"X-Many: a\r\n" * 200 + b"\r\n", b"400"),
        (b"\x16\x03\x01\x02\x00\x01\x00", b"400"),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n", b"400"),
        (b"PUT / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"405"),
        (b"POST /-/reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\n\r\n", b"413"),
    ],
)
async def test_what_is_too_long_or_no_http_is_refused(station: Scripted, sent: bytes, status: bytes) -> None:
    async with serving(station, patience=Patience(idle=0.5)) as client:
        answer = await client.raw(sent)
        assert answer.partition(b"\r\n")[0].split()[1] == status
        assert (await client.get("/-/healthy")).status == 200
    assert station.reloads == 0


async def test_a_hundred_megabytes_of_headers_leave_no_trace(station: Scripted) -> None:
    async with serving(station) as client:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        _, writer = await asyncio.open_connection(*client.address)
        with suppress(ConnectionError):
            writer.write(HEAD)
            for _ in range(100):
                writer.write(b"X-A: " + b"a" * (1 << 20))
                await writer.drain()
        writer.close()
        assert (await client.get("/-/healthy")).status == 200
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 16_000  # KiB


async def test_a_full_house_lets_the_longest_idle_go(station: Scripted) -> None:
    async with serving(station, most_connections=4) as client:
        idle = [await asyncio.open_connection(*client.address) for _ in range(4)]
        for _, writer in idle:
            writer.write(HEAD + b"\r\n")
        for reader, _ in idle:
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        assert (await client.get("/-/healthy")).status == 200
        async with asyncio.timeout(SOON):
            with suppress(ConnectionError):
                await idle[0][0].read(-1)
        for _, writer in idle:
            writer.close()


async def test_a_full_house_of_busy_ones_turns_newcomers_away(station: Scripted) -> None:
    release = asyncio.Event()
    begun = asyncio.Semaphore(0)

    async def answer(name: EndpointName, seconds: float) -> Asked:
        begun.release()
        await release.wait()
        return Asked(result=session_of(name, station.clock()))

    station.answers = answer
    async with serving(station, most_connections=3) as client:
        tasks = [asyncio.create_task(client.get("/probe?path=vip&service=smtp")) for _ in range(3)]
        for _ in tasks:
            await begun.acquire()
        assert await client.raw(HEAD + b"\r\n") == b""
        release.set()
        assert {(await task).status for task in tasks} == {200}


async def test_probes_and_pages_have_places_of_their_own(station: Scripted) -> None:
    release = asyncio.Event()
    begun = asyncio.Semaphore(0)

    async def answer(name: EndpointName, seconds: float) -> Asked:
        begun.release()
        await release.wait()
        return Asked(result=session_of(name, station.clock()))

    station.answers = answer
    assert PAGES > 1
    async with serving(station) as client:
        tasks = [asyncio.create_task(client.get("/probe?path=vip&service=smtp")) for _ in range(PROBES)]
        for _ in tasks:
            await begun.acquire()
        refused = await client.get("/probe?path=vip&service=smtp")
        assert (refused.status, refused.headers["Retry-After"]) == (503, "1")
        assert (await client.get("/")).status == 200
        assert (await client.get("/-/ready")).status == 200
        release.set()
        assert {(await task).status for task in tasks} == {200}


ENDPOINTS = PROBES + 8
MANY = """
vantage: {name: lan-probe}
paths: [{name: vip, host: 10.0.20.202, endpoints: [%s]}]
web: {listen: "127.0.0.1:0"}
"""


async def test_all_that_is_configured_may_be_waited_for_twice_and_shuts_nobody_out(tmp_path: Path) -> None:
    """While everything hangs, a pair of Prometheus waits for every endpoint at once."""
    endpoints = ", ".join(f"{{service: smtp, port: {2_500 + number}}}" for number in range(ENDPOINTS))
    station = Scripted(settings_of(tmp_path, MANY % endpoints))
    release, begun = asyncio.Event(), asyncio.Semaphore(0)

    async def answer(name: EndpointName, seconds: float) -> Asked:
        begun.release()
        await release.wait()
        return Asked(unfinished="it is silent")

    station.answers = answer
    async with serving(station) as client:
        wished = [f"/probe?target=10.0.20.202:{2_500 + number}" for number in range(ENDPOINTS)] * PROBES_EACH
        tasks = [asyncio.create_task(client.raw(asking(one))) for one in wished]
        for _ in tasks:
            await begun.acquire()
        assert (await client.get(wished[0])).status == 503
        assert (await client.get("/metrics")).status == 200
        release.set()
        told = [await task for task in tasks]
    assert all(one.startswith(b"HTTP/1.1 200 ") and b"probe_success 0.0" in one for one in told)


def asking(path: str) -> bytes:
    """A request after which the server hangs up."""
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()


async def test_a_head_that_is_large_in_all_is_hung_up_on(station: Scripted) -> None:
    """Each of its lines is within its bound, and so is their number."""
    lines = b"".join(b"X-%d: %s\r\n" % (number, b"a" * 4_000) for number in range(20))
    async with serving(station) as client:
        with suppress(ConnectionError):
            assert await client.raw(HEAD + lines + b"\r\n") == b""
        assert (await client.get("/-/healthy")).status == 200


async def test_requests_sent_ahead_of_an_answer_are_bounded(station: Scripted) -> None:
    """They wait in memory, behind one that waits for its session."""
    begun, release = asyncio.Event(), asyncio.Event()

    async def answer(name: EndpointName, seconds: float) -> Asked:
        begun.set()
        await release.wait()
        return Asked(result=session_of(name, station.clock()))

    station.answers = answer
    async with serving(station) as client, asyncio.timeout(SOON):
        reader, writer = await asyncio.open_connection(*client.address)
        writer.write(HEAD.replace(b"/-/healthy", b"/probe?path=vip&service=smtp") + b"\r\n")
        await begun.wait()
        with suppress(ConnectionError):
            for _ in range(100):
                writer.write((HEAD + b"\r\n") * 1_000)
                await writer.drain()
        with suppress(ConnectionError):
            assert await reader.read(-1) == b""
        writer.close()
        release.set()


async def test_a_port_in_use_is_one_clear_error(station: Scripted, tmp_path: object) -> None:
    async with serving(station) as client:
        text = SETTINGS.replace("127.0.0.1:0", f"127.0.0.1:{client.address[1]}")
        again = Scripted(settings_of(tmp_path, text))  # type: ignore[arg-type]
        with pytest.raises(CannotListen, match="something listens there already; stop it, or choose another port"):
            async with serving(again):
                pass


async def test_the_end_waits_for_no_idle_client_and_leaves_no_task(station: Scripted) -> None:
    before = asyncio.all_tasks()
    async with asyncio.timeout(SOON):
        async with serving(station) as client:
            kept = [await asyncio.open_connection(*client.address) for _ in range(3)]
            await client.get("/")
    for reader, writer in kept:
        with suppress(ConnectionError):
            assert await reader.read(-1) == b""
        writer.close()
    assert asyncio.all_tasks() == before
