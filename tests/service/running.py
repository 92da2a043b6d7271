"""`probe run` as a process beside the demo's world: started, asked, signalled, and read as a person would."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import signal
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import SystemRandom
from typing import Any

import aiohttp
import yaml

from probe.demo.world import DemoWorld
from tests.loaded import Run, Streams, shared

DEADLINE = 20.0
"""Seconds by which anything has happened; a busy machine needs some of them."""

BRISK = {
    "schedule": {"interval": "500ms", "jitter": "0%", "max_sessions_per_minute": 600},
    "timeouts": {"connect": "1s", "session": "5s", "evidence": "2s"},
}

Labels = Mapping[str, str]


def free_port() -> int:
    """A port that nobody has on any address: below those the kernel gives to clients, of whom a world has many."""
    while True:
        port = SystemRandom().randrange(20_000, 32_000)
        with socket.socket() as one, suppress(OSError):
            one.bind(("", port))
            return port


async def until(holds: Callable[[], Any], what: str, seconds: float = DEADLINE) -> Any:
    """What `holds` returns once it is true; AssertionError says what never came."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while True:
                found = holds()
                if asyncio.iscoroutine(found):
                    found = await found
                if found:
                    return found
                await asyncio.sleep(0.05)
    raise AssertionError(f"never came: {what}")


@dataclass(slots=True)
class Running:
    """One configuration in a folder of its own, and the daemon that runs with it, as often as it is started."""

    folder: Path
    content: dict[str, Any]
    session: aiohttp.ClientSession = field(repr=False)
    environment: dict[str, str] = field(default_factory=dict)
    auth: tuple[str, str] | None = None
    err: int | None = None
    """Where it says what it says, in place of a file in the folder."""
    process: Run | None = field(default=None, repr=False)

    @property
    def config(self) -> Path:
        return self.folder / "mailprobe.yaml"

    @property
    def url(self) -> str:
        return f"http://{self.content['web']['listen']}"

    def write(self, **changed: Any) -> None:
        """Write the configuration, with these parts of it changed."""
        self.content.update(changed)
        self.config.write_text(yaml.safe_dump(self.content), encoding="utf-8")

    def offer(self, **changed: Any) -> None:
        """Write a configuration that is not to be taken, or not yet."""
        self.config.write_text(yaml.safe_dump({**self.content, **changed}), encoding="utf-8")

    def launch(self) -> Run:
        """Start the process, and wait for nothing."""
        environment = {name: text for name, text in os.environ.items() if name != "NOTIFY_SOCKET"}
        with (self.folder / "err").open("ab") as err, Path(os.devnull).open("rb") as nothing:
            told = self.err or err.fileno()
            self.process = shared().start(
                *("run", "--config", str(self.config)),
                streams=Streams(given=nothing.fileno(), out=told, err=told),
                environment={**environment, **self.environment},
            )
        return self.process

    async def start(self) -> None:
        """Start it and wait until it is ready."""
        process = self.launch()

        async def is_ready() -> bool:
            assert process.returncode is None, self.said()
            with suppress(aiohttp.ClientError):
                return (await self.get("/-/ready"))[0] == 200
            return False

        await until(is_ready, "a daemon that is ready")

    async def ended(self, number: int | None = None) -> tuple[int, float]:
        """Send a signal and wait for the end: the exit code, and the seconds it took."""
        assert self.process is not None
        loop = asyncio.get_running_loop()
        begun = loop.time()
        if number is not None:
            self.process.send_signal(number)
        async with asyncio.timeout(DEADLINE):
            code = await self.process.wait()
        self.process = None
        return code, loop.time() - begun

    async def get(self, path: str, *, method: str = "GET", **more: Any) -> tuple[int, str]:
        """Status and text of an answer; `auth` of the request goes before the daemon's own."""
        user = more.pop("auth", self.auth)
        if user is not None:
            word = base64.b64encode(":".join(user).encode()).decode()
            more["headers"] = {**more.get("headers", {}), "Authorization": f"Basic {word}"}
        async with self.session.request(method, self.url + path, **more) as answer:
            return answer.status, await answer.text()

    async def metrics(self) -> dict[str, float]:
        """Every series of /metrics without the label `vantage`, as Prometheus writes them."""
        return series((await self.get("/metrics"))[1])

    async def metric(self, name: str) -> float | None:
        """The value of one series."""
        return (await self.metrics()).get(name)

    async def sees(self, verdict: str, *services: str) -> None:
        """Wait until these services (all, if none is named) have this verdict."""
        names = services or tuple(one["service"] for one in self.content["paths"][0]["endpoints"])
        wanted = [_verdict(service, verdict) for service in names]

        async def all_do() -> bool:
            told = await self.metrics()
            return all(told.get(one) == 1 for one in wanted)

        await until(all_do, f"{verdict} of {', '.join(names)}")

    async def hang_up(self) -> str:
        """SIGHUP, and what the log says of it."""
        assert self.process is not None
        before = len(self.lines(*RELOADED))
        self.process.send_signal(signal.SIGHUP)
        lines: list[dict[str, Any]] = await until(lambda: self.lines(*RELOADED)[before:], "a word about the reload")
        return str(lines[0].get("fault", ""))

    def said(self) -> str:
        """All it said."""
        return (self.folder / "err").read_text(errors="replace")

    def lines(self, *events: str) -> list[dict[str, Any]]:
        """The lines of its log with one of these events."""
        told = [json.loads(line) for line in self.said().splitlines() if line.startswith("{")]
        return [line for line in told if line["event"] in events]

    async def told(self, *events: str, count: int = 1) -> list[dict[str, Any]]:
        """The same once there are so many: a thread writes the log, and an answer or a metric may come before its line.

        For what must not be more than so many, end the daemon and ask `lines`.
        """

        def enough() -> list[dict[str, Any]]:
            told = self.lines(*events)
            return told if len(told) >= count else []

        found: list[dict[str, Any]] = await until(enough, f"{count} lines of {', '.join(events)}")
        return found


RELOADED = ("configuration read again", "configuration not taken, the old one goes on")


def _verdict(service: str, verdict: str) -> str:
    return f'mailprobe_verdict{{path="vip",service="{service}",verdict="{verdict}"}}'


def series(text: str) -> dict[str, float]:
    """A page of metrics, each series with its value; the vantage, which is the same in all of them, is left out."""
    rows = (line.rpartition(" ") for line in text.splitlines() if line and not line.startswith("#"))
    return {_without_vantage(name): float(value) for name, _, value in rows}


def _without_vantage(name: str) -> str:
    return re.sub(r'\{vantage="demo"\}|,vantage="demo"|vantage="demo",', "", name)


@asynccontextmanager
async def running(world: DemoWorld, folder: Path, **changed: Any) -> AsyncIterator[Running]:
    """A configuration for the world, not started yet; whatever runs at the end is killed."""
    content: dict[str, Any] = {
        **world.config(),
        **BRISK,
        "web": {"listen": f"127.0.0.1:{free_port()}"},
        "history": {"file": str(folder / "history.db")},
        **changed,
    }
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=DEADLINE)) as session:
        one = Running(folder, content, session)
        one.write()
        try:
            yield one
        finally:
            if one.process is not None and one.process.returncode is None:
                one.process.kill()
                await one.process.wait()
