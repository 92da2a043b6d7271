"""Debian's Prometheus programs, each started by the test on a free loopback port of its own and ended with it."""

from __future__ import annotations

import asyncio
import socket
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from aiohttp import ClientConnectionError, ClientSession, web

from tests.service.metrics.stand_in import program

DEADLINE = 30.0
POLL = 0.05

Answering = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@asynccontextmanager
async def running(name: str, package: str, *arguments: str, ready: str) -> AsyncIterator[str]:
    """The program with `{port}` in its arguments filled in; gives its URL as soon as the path `ready` answers."""
    port = free_port()
    command = [program(name, package), *(argument.format(port=port) for argument in arguments)]
    child = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=STDOUT)
    assert child.stdout is not None
    said = asyncio.create_task(child.stdout.read())
    url = f"http://127.0.0.1:{port}"
    try:
        await _answers(f"{url}{ready}", child)
        yield url
    finally:
        if child.returncode is None:
            child.terminate()
        await child.wait()
        print((await said).decode())


def pushgateway(*arguments: str) -> AbstractAsyncContextManager[str]:
    """Debian's Pushgateway. It keeps nothing: by Debian's default it would be in /var/lib, for the next one to show."""
    own = ("--web.listen-address=127.0.0.1:{port}", "--persistence.file=", *arguments)
    return running("prometheus-pushgateway", "prometheus-pushgateway", *own, ready="/-/ready")


async def _answers(url: str, child: asyncio.subprocess.Process) -> None:
    """Any answer will do: a program with a password refuses, and is there all the same."""
    async with asyncio.timeout(DEADLINE), ClientSession() as client:
        while True:
            assert child.returncode is None, "it ended before it answered"
            try:
                async with client.get(url) as answer:
                    if answer.status != 503:
                        return
            except ClientConnectionError:
                pass
            await asyncio.sleep(POLL)


@asynccontextmanager
async def serving(answering: Answering) -> AsyncIterator[str]:
    """A web server of ours; gives its URL."""
    server = web.ServerRunner(web.Server(answering))
    await server.setup()
    site = web.TCPSite(server, "127.0.0.1", port := free_port())
    try:
        await site.start()
        yield f"http://127.0.0.1:{port}"
    finally:
        await server.cleanup()


async def get_text(url: str, headers: Mapping[str, str] | None = None) -> str:
    async with ClientSession() as client, client.get(url, headers=headers) as answer:
        return await answer.text()


async def until(url: str, params: dict[str, str], wanted: Callable[[Any], Any]) -> Any:
    """Ask for JSON until what is wanted of it is there."""
    async with asyncio.timeout(DEADLINE), ClientSession() as client:
        while True:
            async with client.get(url, params=params) as answer:
                if found := wanted(await answer.json()):
                    return found
            await asyncio.sleep(POLL)
