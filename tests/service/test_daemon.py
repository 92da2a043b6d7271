"""`probe run` from start to end: as a process beside the demo's mail world, signalled as service managers do."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from probe.demo.scenes import Scene
from probe.demo.world import CLIENT, DemoWorld, demo_world
from probe.model import Service
from tests.service.hanging import Slow
from tests.service.running import Running, running, series, until


@pytest.fixture
async def world() -> AsyncIterator[DemoWorld]:
    async with demo_world(postfix_waits=1.5, dovecot_waits=1.0) as world:
        yield world


@pytest.fixture
async def daemon(world: DemoWorld, tmp_path: Path) -> AsyncIterator[Running]:
    async with running(world, tmp_path) as one:
        yield one


class TestBegin:
    async def test_systemd_hears_when_it_is_ready_that_it_lives_and_how_it_ends(self, daemon: Running) -> None:
        place = str(daemon.folder / "notify")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
            heard.bind(place)
            heard.settimeout(0)
            daemon.environment = {"NOTIFY_SOCKET": place, "WATCHDOG_USEC": "600000"}
            await daemon.start()
            await daemon.sees("preserved")
            told = await _told_until(heard, "4 of 4 endpoints ok", "WATCHDOG=1")
            assert told[0].startswith("READY=1\nSTATUS=0 of 4 endpoints ok")
            await daemon.hang_up()
            told = await _told_until(heard, "READY=1")
            assert any(word.startswith("RELOADING=1\nMONOTONIC_USEC=") for word in told)
            assert await daemon.ended(signal.SIGTERM)
            assert (await _told_until(heard, "STOPPING=1"))[-1] == "STOPPING=1"

    async def test_the_log_has_one_line_for_each_session_that_is_news(self, daemon: Running) -> None:
        await daemon.start()
        await daemon.sees("preserved")
        (line,) = (one for one in await daemon.told("session", count=4) if one["service"] == "smtp")
        assert (line["level"], line["verdict"], line["sessions"]) == ("info", "preserved", 1)
        assert line["client"].startswith(f"{CLIENT}:")
        assert (await daemon.told("ready"))[0]["endpoints"] == 4

    async def test_a_port_in_use_is_one_clear_error(self, daemon: Running) -> None:
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            daemon.write(web={"listen": f"127.0.0.1:{other.getsockname()[1]}"})
            daemon.launch()
            assert (await daemon.ended())[0] == 64
        assert _last_line(daemon).startswith("Error: cannot serve on 127.0.0.1:")
        assert "something listens there already; stop it, or choose another port in web.listen" in _last_line(daemon)

    async def test_a_certificate_without_its_key_is_one_clear_error(self, daemon: Running) -> None:
        web_config = daemon.folder / "web.yaml"
        web_config.write_text("tls_server_config: {cert_file: ca.pem}\n")
        daemon.write(web={**daemon.content["web"], "config_file": str(web_config)})
        daemon.launch()
        assert (await daemon.ended())[0] == 64
        assert "key_file" in daemon.said()
        assert "Traceback" not in daemon.said()

    async def test_a_missing_ca_file_is_one_clear_error(self, daemon: Running) -> None:
        daemon.content["paths"][0]["tls"]["ca_file"] = str(daemon.folder / "none.pem")
        daemon.write()
        daemon.launch()
        assert (await daemon.ended())[0] == 64
        assert "paths[0].tls.ca_file" in daemon.said()
        assert "Traceback" not in daemon.said()

    @pytest.mark.parametrize("where", ["none/history.db", "file/history.db"])
    async def test_a_history_that_cannot_be_written_stops_no_probing(self, daemon: Running, where: str) -> None:
        (daemon.folder / "file").touch()
        daemon.write(history={"file": str(daemon.folder / where)})
        await daemon.start()
        await daemon.sees("preserved")
        (line,) = await daemon.told("history: sessions are not written down; tried again within a minute")
        assert "directory" in line["reason"]
        assert "directory" in (await daemon.get("/"))[1]
        assert (await daemon.get("/api/v1/sessions"))[0] == 200
        assert (await daemon.ended(signal.SIGTERM))[0] == 0


class TestQuestions:
    async def test_whoever_asks_is_told_of_a_session_that_fails_with_all_that_it_costs(
        self, daemon: Running, world: DemoWorld
    ) -> None:
        """Of a listener that is silent, two control connections after the session where TLS comes first."""
        await world.change_to(Scene.DEAD)
        daemon.write(timeouts={"connect": "500ms", "session": "800ms", "evidence": "200ms"})
        await daemon.start()
        status, text = await daemon.get("/probe?path=vip")
        assert status == 200, text
        told = series(text)
        assert [value for name, value in told.items() if name.startswith("mailprobe_unfinished")] == [0.0] * 4
        assert sum(value for name, value in told.items() if 'verdict="no_greeting"' in name) >= 2


class TestEnd:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    async def test_sessions_under_way_say_goodbye(self, daemon: Running, world: DemoWorld, number: int) -> None:
        slow = Slow(b"220 mail.demo.test ESMTP\r\n")
        await world.junctions[Service.SMTP].lead(slow)
        await daemon.start()
        await asyncio.wait_for(slow.reached.wait(), 10)
        code, seconds = await daemon.ended(number)
        assert code == 0, daemon.said()
        assert seconds < 5
        await asyncio.wait_for(slow.gone.wait(), 5)
        assert bytes(slow.heard).endswith(b"QUIT\r\n")
        _nothing_is_left(daemon)

    async def test_a_server_that_never_speaks_is_left_in_time(self, daemon: Running, world: DemoWorld) -> None:
        mute = Slow(b"")
        for service in Service:
            await world.junctions[service].lead(mute)
        daemon.write(timeouts={"connect": "1s", "session": "30s", "evidence": "2s"})
        await daemon.start()
        await asyncio.wait_for(mute.reached.wait(), 10)
        question = asyncio.create_task(daemon.get("/probe?path=vip"))
        code, seconds = await daemon.ended(signal.SIGTERM)
        assert code == 0, daemon.said()
        assert seconds < 5
        await asyncio.wait([question])
        question.exception()
        _nothing_is_left(daemon)

    async def test_an_outage_survives_kill_9(self, daemon: Running, world: DemoWorld) -> None:
        await daemon.start()
        await daemon.sees("preserved")
        await world.change_to(Scene.BEHIND_NODE)
        await daemon.sees("masked")
        began = await _outages(daemon)
        await until(lambda: (daemon.folder / "history.db").stat().st_size, "a history")
        await asyncio.sleep(0.5)  # what is written within 0.2 s is there after it
        assert (await daemon.ended(signal.SIGKILL))[0] == -signal.SIGKILL
        await daemon.start()
        first = await daemon.metrics()
        assert first['mailprobe_verdict{path="vip",service="smtp",verdict="masked"}'] == 1
        await daemon.sees("masked")
        assert await _outages(daemon) == began
        await world.change_to(Scene.STRAIGHT)
        await daemon.sees("preserved")
        _, text = await daemon.get("/api/v1/outages")
        assert text.count('"ended": null') == 0, text
        assert await _begins(daemon) == began

    async def test_a_history_that_is_mounted_late_knows_of_one_outage(self, daemon: Running, world: DemoWorld) -> None:
        volume, elsewhere = daemon.folder / "volume", daemon.folder / "elsewhere"
        volume.mkdir()
        daemon.write(history={"file": str(volume / "history.db")})
        await world.change_to(Scene.BEHIND_NODE)
        await daemon.start()
        await daemon.sees("masked")
        began = await _outages(daemon)
        assert (await daemon.ended(signal.SIGTERM))[0] == 0
        volume.rename(elsewhere)
        await daemon.start()
        await daemon.sees("masked")
        assert (await _outages(daemon)).keys() == began.keys()
        assert not (await _outages(daemon)).items() & began.items()
        elsewhere.rename(volume)

        async def is_one() -> bool:
            return await _outages(daemon) == await _begins(daemon) == began

        await until(is_one, "the outages as they began")


async def _outages(daemon: Running) -> dict[str, Any]:
    """When the outages that last began, by service."""
    return {one["service"]: one["began"] for one in await _told_outages(daemon) if one["ended"] is None}


async def _begins(daemon: Running) -> dict[str, Any]:
    return {one["service"]: one["began"] for one in await _told_outages(daemon)}


async def _told_outages(daemon: Running) -> list[dict[str, Any]]:
    async with daemon.session.get(f"{daemon.url}/api/v1/outages") as answer:
        told: dict[str, Any] = await answer.json()
    outages: list[dict[str, Any]] = told["outages"]
    return outages


async def _told_until(heard: socket.socket, *words: str) -> list[str]:
    """What the service manager hears, up to a datagram with all these words."""
    told: list[str] = []
    async with asyncio.timeout(15):
        while not (told and all(word in told[-1] for word in words)):
            told.append((await asyncio.get_running_loop().sock_recv(heard, 4096)).decode())
    return told


def _last_line(daemon: Running) -> str:
    return daemon.said().rstrip().splitlines()[-1]


def _nothing_is_left(daemon: Running) -> None:
    """It said so, warned of nothing at its end, and left only what it keeps."""
    assert daemon.lines("stopped")
    for word in ("Traceback", "never retrieved", "never awaited", "Unclosed", "bug"):
        assert word not in daemon.said(), daemon.said()
    left = {name for name in os.listdir(daemon.folder) if name.startswith("history")}
    assert left <= {"history.db", "history.db.lock", ".history.db.lock"}
