"""`/probe` beside Debian's blackbox_exporter on the same targets: what one calls a success, the other does too."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from probe.demo.scenes import Scene
from probe.demo.world import NAME, VIRTUAL, DemoWorld, demo_world
from probe.model import Service
from tests.service import running
from tests.service.hanging import Slow
from tests.service.metrics.programs import get_text
from tests.service.metrics.programs import running as program

SCENES = (Scene.STRAIGHT, Scene.BEHIND_NODE, Scene.HEADER_MISSING, Scene.HEADER_SENT)
WHEN_ASKED = {"interval": "1h", "max_sessions_per_minute": 600}
"""Who asks while a session is under way gets that one, and it may have begun in another scene."""

SCRAPE_TIMEOUT = 2.0
"""Seconds; a session may take 30, its evidence 15."""

UNVERIFIED = 'mailprobe_verdict{{path="vip",service="{}",verdict="unverified"}}'


@pytest.fixture
async def world() -> AsyncIterator[DemoWorld]:
    async with demo_world(postfix_waits=0.5, dovecot_waits=0.3) as world:
        yield world


def modules(ca_file: Path) -> dict[str, Any]:
    """blackbox_exporter's configuration for each service: up to TLS and a goodbye."""
    tls = {"ca_file": str(ca_file), "server_name": NAME}
    hello: list[dict[str, Any]] = [{"expect": "^220 ", "send": "EHLO here.test\r"}]
    goodbye = [{"expect": "^250 ", "send": "QUIT\r"}, {"expect": "^221 "}]
    starttls: list[dict[str, Any]] = [{"expect": "^250[ -]STARTTLS"}, {"expect": "^250 ", "send": "STARTTLS\r"}]
    starttls += [{"expect": "^220 ", "starttls": True}, {"send": "EHLO here.test\r"}]
    imap: list[dict[str, Any]] = [{"expect": r"^\* OK", "send": "A1 LOGOUT\r"}, {"expect": "^A1 OK"}]
    said = {
        Service.SMTP: hello + starttls + goodbye,
        Service.SUBMISSION: hello + starttls + goodbye,
        Service.SUBMISSIONS: hello + goodbye,
        Service.IMAPS: imap,
    }
    return {
        str(service): {
            "prober": "tcp",
            "timeout": "5s",
            "tcp": {"tls": service.tls_first, "tls_config": tls, "query_response": query},
        }
        for service, query in said.items()
    }


def blackbox(world: DemoWorld, folder: Path) -> AbstractAsyncContextManager[str]:
    """Debian's blackbox_exporter; gives its URL."""
    config = folder / "blackbox.json"
    config.write_text(json.dumps({"modules": modules(world.ca_file)}))
    arguments = (f"--config.file={config}", "--web.listen-address=127.0.0.1:{port}")
    return program(*["prometheus-blackbox-exporter"] * 2, *arguments, ready="/-/healthy")


async def successes(
    url: str, targets: list[tuple[str, Service]], timeout: float = 60.0
) -> dict[tuple[str, str], float]:
    """probe_success of every target, asked as a Prometheus does whose scrape_timeout this is."""
    headers = {"X-Prometheus-Scrape-Timeout-Seconds": f"{timeout:g}"}

    async def one(target: str, service: Service) -> float:
        async with asyncio.timeout(timeout):
            text = await get_text(f"{url}/probe?target={target}&module={service}", headers)
        told = running.series(text)
        assert "probe_success" in told, text
        return told["probe_success"]

    found = await asyncio.gather(*(one(*target) for target in targets))
    return {(target, str(service)): value for (target, service), value in zip(targets, found, strict=True)}


async def test_the_same_probe_success(world: DemoWorld, tmp_path: Path) -> None:
    nobody = running.free_port()
    dead = copy.deepcopy(world.config()["paths"][0])  # type: ignore[index]  # it is a list
    dead.update(name="dead", endpoints=[{"service": str(service), "port": nobody} for service in Service])
    for number, endpoint in enumerate(dead["endpoints"]):
        endpoint["port"] = nobody + number
    targets = [(f"{VIRTUAL}:{world.place(service)[1]}", service) for service in Service]
    targets += [(f"{VIRTUAL}:{endpoint['port']}", Service(endpoint["service"])) for endpoint in dead["endpoints"]]
    async with (
        blackbox(world, tmp_path) as theirs,
        running.running(world, tmp_path, schedule=WHEN_ASKED) as one,
    ):
        one.write(paths=[one.content["paths"][0], dead])
        await one.start()
        found = {}
        for scene in SCENES:
            await world.change_to(scene)
            ours = await successes(one.url, targets)
            assert ours == await successes(theirs, targets), scene
            found[scene] = sum(ours.values())
    assert found == {
        Scene.STRAIGHT: 4,
        Scene.BEHIND_NODE: 4,
        Scene.HEADER_MISSING: 0,
        Scene.HEADER_SENT: 4,
    }


async def test_the_same_where_no_verdict_is_there_in_time(world: DemoWorld, tmp_path: Path) -> None:
    """A server that takes connections and says nothing, healthy ones whose log says nothing, and default timeouts."""
    await world.junctions[Service.SMTP].lead(Slow(b""))
    log = tmp_path / "silent.log"
    log.touch()
    targets = [(f"{VIRTUAL}:{world.place(service)[1]}", service) for service in Service]
    changed: dict[str, Any] = {"timeouts": {}, "evidence": {"sources": [{"kind": "file", "path": str(log)}]}}
    async with (
        blackbox(world, tmp_path) as theirs,
        running.running(world, tmp_path, schedule=WHEN_ASKED, **changed) as one,
    ):
        await one.start()
        ours = await successes(one.url, targets, SCRAPE_TIMEOUT)
        assert ours == await successes(theirs, targets, SCRAPE_TIMEOUT)
        assert [ours[target] for target in targets] == [service is not Service.SMTP for service in Service]
        headers = {"X-Prometheus-Scrape-Timeout-Seconds": f"{SCRAPE_TIMEOUT:g}"}
        told = running.series((await one.get("/probe?path=vip", headers=headers))[1])
        verdicts = {name for name, value in told.items() if name.startswith("mailprobe_verdict") and value}
        assert verdicts == {UNVERIFIED.format(service) for service in Service if service is not Service.SMTP}
