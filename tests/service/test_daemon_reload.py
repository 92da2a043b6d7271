"""`probe run` reads its configuration again: whole or not at all, and says which, beside sessions that go on."""

from __future__ import annotations

import asyncio
import copy
import json
import re
import signal
import socket
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from probe.demo.scenes import Scene
from probe.demo.world import DemoWorld, demo_world
from probe.model import Service
from tests.service.hanging import HungLoki, Slow
from tests.service.running import DEADLINE, Running, free_port, running, until

SUCCESSFUL = "mailprobe_config_last_reload_successful"


@pytest.fixture
async def world() -> AsyncIterator[DemoWorld]:
    async with demo_world(postfix_waits=1.5, dovecot_waits=1.0) as world:
        yield world


@pytest.fixture
async def daemon(world: DemoWorld, tmp_path: Path) -> AsyncIterator[Running]:
    """A daemon that runs and has judged every endpoint."""
    async with running(world, tmp_path) as one:
        await one.start()
        await one.sees("preserved")
        yield one


async def goes_on(daemon: Running) -> None:
    """Every endpoint of the configuration is probed from here on."""
    before = await counted(daemon)
    places = [(path["name"], one["service"]) for path in daemon.content["paths"] for one in path["endpoints"]]

    async def more() -> bool:
        now = await counted(daemon)
        return all(now[place] > before[place] for place in places)

    await until(more, "sessions after the reload")


async def counted(daemon: Running) -> Counter[tuple[str, str]]:
    """Judged sessions by path and service."""
    found: Counter[tuple[str, str]] = Counter()
    for name, value in (await daemon.metrics()).items():
        if fits := re.match(r'mailprobe_sessions_total\{path="(\w+)",service="(\w+)"', name):
            found[fits[1], fits[2]] += int(value)
    return found


async def reads_again(daemon: Running) -> tuple[int, str]:
    """POST /-/reload, as a script does it."""
    return await daemon.get("/-/reload", method="POST")


async def is_taken(port: int) -> bool:
    """Whether somebody listens there."""
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


def second_path(daemon: Running) -> dict[str, Any]:
    """Another path to the same server, with its imaps alone."""
    path: dict[str, Any] = copy.deepcopy(daemon.content["paths"][0])
    (path["endpoints"],) = ([one] for one in path["endpoints"] if one["service"] == "imaps")
    return {**path, "name": "other"}


class TestNotTaken:
    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("paths: [{name: vip, host: 10.0.20.202, endpoints: [{service: pop3}]}]", "paths[0].endpoints[0].service"),
            ("paths: [", "mailprobe.yaml"),
            ("paths: \x00", "mailprobe.yaml"),
        ],
    )
    async def test_a_broken_file(self, daemon: Running, text: str, said: str) -> None:
        good = daemon.config.read_text()
        daemon.config.write_text(text)
        assert said in await daemon.hang_up()
        assert await daemon.metric(SUCCESSFUL) == 0
        page = (await daemon.get("/"))[1]
        assert (said in page, "Counted since" in page) == (True, False)
        status, answer = await reads_again(daemon)
        assert (status, said in answer) == (500, True)
        await goes_on(daemon)
        daemon.config.write_text(good)
        assert await daemon.hang_up() == ""
        assert await daemon.metric(SUCCESSFUL) == 1
        page = (await daemon.get("/"))[1]
        assert (said in page, "Counted since the configuration was read again" in page) == (False, True)

    async def test_a_file_that_is_gone_or_no_text(self, daemon: Running) -> None:
        daemon.config.write_bytes(b"\xff\xfe\x00paths")
        assert "mailprobe.yaml" in await daemon.hang_up()
        daemon.config.unlink()
        assert "mailprobe.yaml" in await daemon.hang_up()
        await goes_on(daemon)

    async def test_a_port_in_use_refuses_all_of_it(self, daemon: Running) -> None:
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            daemon.offer(web={"listen": f"127.0.0.1:{other.getsockname()[1]}"}, paths=[second_path(daemon)])
            assert "something listens there already" in await daemon.hang_up()
        told = await daemon.metrics()
        assert told[SUCCESSFUL] == 0
        assert not any('path="other"' in name for name in told)
        assert daemon.content["web"]["listen"] in (await daemon.get("/config"))[1]
        await goes_on(daemon)

    async def test_a_broken_web_config_refuses_all_of_it(self, daemon: Running) -> None:
        web_config = daemon.folder / "web.yaml"
        web_config.write_text("basic_auth_users: {prometheus: no-hash}\n")
        daemon.offer(web={**daemon.content["web"], "config_file": str(web_config)}, paths=[second_path(daemon)])
        assert "basic_auth_users" in await daemon.hang_up()
        told = await daemon.metrics()
        assert told[SUCCESSFUL] == 0
        assert not any('path="other"' in name for name in told)
        assert "basic_auth_users" in (await daemon.get("/"))[1]

    async def test_a_ca_file_that_vanished(self, daemon: Running) -> None:
        daemon.content["paths"][0]["tls"]["ca_file"] = str(daemon.folder / "none.pem")
        daemon.write()
        assert "tls.ca_file" in await daemon.hang_up()
        await goes_on(daemon)


class TestTaken:
    async def test_paths_come_and_go_with_their_series(self, daemon: Running) -> None:
        first, other = daemon.content["paths"][0], second_path(daemon)
        daemon.write(paths=[first, other])
        assert await daemon.hang_up() == ""
        assert len([name for name in await daemon.metrics() if _verdict_of(name, "other")]) == 16

        async def other_is_judged() -> bool:
            return await daemon.metric('mailprobe_up{path="other",service="imaps"}') == 1

        await until(other_is_judged, "a session on the new path")
        assert await daemon.metric('mailprobe_up{path="vip",service="smtp"}') == 1  # what was known stays known
        daemon.write(paths=[other])
        assert await daemon.hang_up() == ""
        told = await daemon.metrics()
        assert not any('path="vip"' in name for name in told)
        assert told['mailprobe_up{path="other",service="imaps"}'] == 1
        await goes_on(daemon)

    async def test_another_host_is_another_endpoint_and_probed_at_once(self, daemon: Running) -> None:
        """An interval of an hour: else its host, which nobody has looked at, would be `preserved` for all of it."""
        daemon.write(schedule={"interval": "1h", "jitter": "0%", "max_sessions_per_minute": 600})
        assert await daemon.hang_up() == ""
        await goes_on(daemon)
        daemon.content["paths"][0]["host"] = "127.0.20.203"  # where nothing listens
        daemon.write()
        assert await daemon.hang_up() == ""
        told = await daemon.metrics()
        assert not any(name.startswith("mailprobe_client_address_preserved") for name in told)
        await daemon.sees("refused")

    @pytest.mark.parametrize("by_signal", [True, False], ids=["SIGHUP", "POST"])
    async def test_pages_move(self, daemon: Running, *, by_signal: bool) -> None:
        old = daemon.url
        moved = {"web": {"listen": f"127.0.0.1:{free_port()}"}, "paths": [second_path(daemon)]}
        daemon.offer(**moved)
        if by_signal:
            assert await daemon.hang_up() == ""
        else:
            assert (await reads_again(daemon))[0] == 200
        daemon.content.update(moved)
        told = await daemon.metrics()
        assert told[SUCCESSFUL] == 1
        assert not any('path="vip"' in name for name in told)

        async def is_closed() -> bool:
            try:
                async with daemon.session.get(f"{old}/-/healthy"):
                    return False
            except aiohttp.ClientConnectionError:
                return True

        await until(is_closed, "the old port closed")
        await goes_on(daemon)
        assert (await daemon.ended(signal.SIGTERM))[0] == 0

    async def test_pages_move_to_all_addresses_of_the_same_port(self, daemon: Running) -> None:
        port = daemon.content["web"]["listen"].rpartition(":")[2]
        daemon.write(web={"listen": f"0.0.0.0:{port}"})
        assert await daemon.hang_up() == ""
        daemon.write(web={"listen": f"127.0.0.1:{port}"})
        assert await daemon.hang_up() == ""
        await goes_on(daemon)

    async def test_an_outage_goes_on_in_another_history(self, daemon: Running, world: DemoWorld) -> None:
        await world.change_to(Scene.BEHIND_NODE)
        await daemon.sees("masked")
        before = await _began(daemon)
        other = daemon.folder / "other.db"
        daemon.write(history={"file": str(other)})
        assert await daemon.hang_up() == ""
        await goes_on(daemon)
        assert await _began(daemon) == before
        await until(lambda: len(_lasting(other)) == 4, "the outages in the other history")
        assert (await daemon.ended(signal.SIGKILL))[0] == -signal.SIGKILL
        await daemon.start()
        await daemon.sees("masked")
        assert await _began(daemon) == before
        path, *others = daemon.content["paths"]
        kept, *gone = path["endpoints"]
        daemon.write(paths=[{**path, "endpoints": [kept]}, *others])
        assert await daemon.hang_up() == ""
        ended = await daemon.told("outage ended", count=len(gone))
        assert [line["service"] for line in ended] == [one["service"] for one in gone]

    async def test_many_reloads_at_once_leave_one_daemon(self, daemon: Running) -> None:
        answers = await asyncio.gather(*(reads_again(daemon) for _ in range(5)))
        assert {status for status, _ in answers} == {200}
        assert daemon.process is not None
        for _ in range(5):
            daemon.process.send_signal(signal.SIGHUP)
        await goes_on(daemon)
        assert (await daemon.ended(signal.SIGTERM))[0] == 0
        assert "bug" not in daemon.said()
        assert "never retrieved" not in daemon.said()


class TestMeanwhile:
    """A source that hangs takes 6 s to be given up; everything goes on until the new configuration takes over."""

    async def test_sessions_go_on_while_sources_open_and_who_asks_meanwhile_is_served_by_one_reload(
        self, daemon: Running
    ) -> None:
        async with HungLoki() as loki:
            daemon.write(evidence={"sources": [*daemon.content["evidence"]["sources"], loki.source]})
            first = asyncio.create_task(reads_again(daemon))
            await asyncio.wait_for(loki.asked.wait(), 10)
            later = [asyncio.create_task(reads_again(daemon)) for _ in range(8)]
            await goes_on(daemon)
            assert (await daemon.get("/probe?path=vip"))[0] == 200
            assert not first.done()
            answers = await asyncio.gather(first, *later)
        assert {status for status, _ in answers} == {200}
        assert (await daemon.ended(signal.SIGTERM))[0] == 0
        assert len(daemon.lines("configuration read again")) == 2

    async def test_a_port_that_only_one_can_have_is_had_by_the_new_one(self, daemon: Running) -> None:
        port = free_port()
        up = f'mailprobe_evidence_source_up{{source="syslog:udp://127.0.0.1:{port}"}}'
        syslog = {"kind": "syslog", "listen": f"udp://127.0.0.1:{port}"}
        daemon.write(evidence={"sources": [*daemon.content["evidence"]["sources"], syslog]})
        for _ in range(2):
            assert await daemon.hang_up() == ""
            assert await daemon.metric(up) == 1, daemon.said()
        assert not daemon.lines("log source failed")

    async def test_while_the_sink_is_left_pages_go_on_and_the_port_is_the_new_one_s(self, daemon: Running) -> None:
        """A sender over TCP that finds nobody at a port leaves it alone for 30 s, by rsyslog's default."""
        port = free_port()
        up = f'mailprobe_evidence_source_up{{source="syslog:tcp://127.0.0.1:{port}"}}'
        syslog = {"kind": "syslog", "listen": f"tcp://127.0.0.1:{port}"}
        async with HungLoki() as left, HungLoki() as taken:
            sources = [*daemon.content["evidence"]["sources"], syslog]
            daemon.write(sink={"kind": "loki", "url": left.source["url"]}, evidence={"sources": sources})
            assert await daemon.hang_up() == ""
            await asyncio.wait_for(left.asked.wait(), 10)
            daemon.write(sink={"kind": "loki", "url": taken.source["url"]})
            reload = asyncio.create_task(reads_again(daemon))
            shown, accepted = set[object](), list[bool]()
            while not reload.done():
                shown |= {(await daemon.get("/-/ready"))[0], (await daemon.metrics()).get(up)}
                accepted.append(await is_taken(port))
            assert (await reload)[0] == 200
        assert shown == {200, 1.0}
        assert len(accepted) > 9
        assert accepted.count(False) < 3  # it takes the old sink a second to be left

    async def test_a_session_that_was_broken_off_is_repeated_at_once(self, daemon: Running, world: DemoWorld) -> None:
        """An interval of an hour: whoever reloads amid a session would else hear of it an hour later."""
        daemon.write(schedule={"interval": "1h", "jitter": "0%", "max_sessions_per_minute": 600})
        assert await daemon.hang_up() == ""
        await goes_on(daemon)
        slow = Slow(b"220 mail.demo.test ESMTP\r\n")
        await world.junctions[Service.SMTP].lead(slow)
        question = await _asked_of(slow, daemon)
        await world.change_to(Scene.STRAIGHT)
        before = await counted(daemon)
        assert await daemon.hang_up() == ""
        assert (await question)[0] == 503

        async def is_repeated() -> bool:
            return (await counted(daemon))["vip", "smtp"] == before["vip", "smtp"] + 1

        await until(is_repeated, "the session once more")

    async def test_no_session_is_broken_off_twice_and_no_change_is_lost_meanwhile(
        self, daemon: Running, world: DemoWorld
    ) -> None:
        """Else whoever asks for them faster than a session takes would see to it that none is ever judged."""
        slow = Slow(b"")
        await world.junctions[Service.SMTP].lead(slow)
        await asyncio.wait_for(slow.reached.wait(), DEADLINE)
        before = await counted(daemon)
        daemon.write(timeouts={"connect": "1s", "session": "1s", "evidence": "1s"})
        assert (await reads_again(daemon))[0] == 200
        waits = asyncio.create_task(reads_again(daemon))
        await daemon.told("a reload waits for sessions that the one before broke off")
        daemon.write(history={**daemon.content["history"], "retention": "29d"})
        assert [status for status, _ in await asyncio.gather(waits, reads_again(daemon))] == [200, 200]
        assert "retention: 29d" in (await daemon.get("/config"))[1]
        assert (await counted(daemon))["vip", "smtp"] > before["vip", "smtp"]
        assert await daemon.metric('mailprobe_up{path="vip",service="smtp"}') == 0
        assert (await daemon.ended(signal.SIGTERM))[0] == 0
        assert len(daemon.lines("configuration read again")) == 2


async def _asked_of(slow: Slow, daemon: Running) -> asyncio.Task[tuple[int, str]]:
    """A question that waits for this server; one that comes amid another session is answered by that."""
    reached = asyncio.create_task(slow.reached.wait())
    async with asyncio.timeout(DEADLINE):
        while True:
            question = asyncio.create_task(daemon.get("/probe?path=vip&service=smtp"))
            await asyncio.wait([question, reached], return_when=asyncio.FIRST_COMPLETED)
            if reached.done():
                return question


def _verdict_of(series: str, path: str) -> bool:
    return series.startswith("mailprobe_verdict") and f'path="{path}"' in series


async def _began(daemon: Running) -> dict[str, str]:
    """When the outages that last began, by service."""
    told = json.loads((await daemon.get("/api/v1/outages"))[1])
    return {one["service"]: one["began"] for one in told["outages"] if one["ended"] is None}


def _lasting(file: Path) -> list[Any]:
    if not file.exists():
        return []
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as opened:
        try:
            return opened.execute("SELECT began FROM outages WHERE ended IS NULL").fetchall()
        except sqlite3.OperationalError:
            return []
