"""What hangs around a daemon (its log, resolver, configuration, a source): it goes on, and ends in time."""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import bcrypt
import pytest
import yaml

from probe.demo.scenes import Scene
from probe.demo.world import DemoWorld, demo_world
from probe.service.reading import NothingComes, Reader
from probe.settings import Settings
from tests.hung_disk import hung_disk
from tests.loaded import REPOSITORY
from tests.service.hanging import HungLoki
from tests.service.running import DEADLINE, Running, free_port, running, until

IN_TIME = 5.0
"""Seconds in which docs/daemon.md promises the end."""

PIPE = 4_096


@pytest.fixture
async def world() -> AsyncIterator[DemoWorld]:
    async with demo_world(postfix_waits=0.5, dovecot_waits=0.3) as world:
        yield world


@pytest.fixture
async def daemon(world: DemoWorld, tmp_path: Path) -> AsyncIterator[Running]:
    async with running(world, tmp_path) as one:
        yield one


def with_source(daemon: Running, source: dict[str, Any]) -> dict[str, Any]:
    return {"sources": [*daemon.content["evidence"]["sources"], source]}


async def ends_in_time(daemon: Running) -> None:
    code, seconds = await daemon.ended(signal.SIGTERM)
    assert code == 0, daemon.said()
    assert seconds < IN_TIME
    for word in ("Traceback", "never retrieved", "never awaited", "Unclosed", "bug"):
        assert word not in daemon.said(), daemon.said()


class TestItsLog:
    async def test_nobody_reads_it(self, daemon: Running, world: DemoWorld) -> None:
        reading, writing = os.pipe()
        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, PIPE)
        os.write(writing, b"\n" * (PIPE - 1))
        daemon.err = writing
        await daemon.start()
        await daemon.sees("preserved")
        await world.change_to(Scene.BEHIND_NODE)
        await daemon.sees("masked")
        code, seconds = await daemon.ended(signal.SIGTERM)
        assert (code, seconds < IN_TIME) == (0, True)
        os.close(reading)
        os.close(writing)


class TestItsConfiguration:
    async def test_a_fifo_at_a_reload_is_given_up(self, daemon: Running) -> None:
        await daemon.start()
        daemon.config.unlink()
        os.mkfifo(daemon.config)
        question = asyncio.create_task(daemon.get("/-/reload", method="POST"))
        writing = await until(lambda: _writing_to(daemon.config), "somebody who reads the FIFO")
        assert (await asyncio.wait_for(daemon.get("/-/healthy"), 5))[0] == 200
        status, said = await question
        assert status == 500
        assert "could not be read within 10 s: see that it and the files it names are regular files" in said
        os.close(writing)
        await ends_in_time(daemon)

    async def test_a_fifo_at_the_start_keeps_nobody_from_ending_it(self, daemon: Running) -> None:
        daemon.config.unlink()
        os.mkfifo(daemon.config)
        daemon.launch()
        writing = await until(lambda: _writing_to(daemon.config), "somebody who reads the FIFO")
        code, seconds = await daemon.ended(signal.SIGTERM)
        os.close(writing)
        assert (code, seconds < IN_TIME) == (0, True)

    async def test_sighup_while_it_is_read_at_the_start_has_it_read_again(self, daemon: Running) -> None:
        before = daemon.config.read_bytes()
        daemon.config.unlink()
        os.mkfifo(daemon.config)
        process = daemon.launch()
        writing = await until(lambda: _writing_to(daemon.config), "somebody who reads the FIFO")
        process.send_signal(signal.SIGHUP)
        daemon.config.unlink()
        daemon.write(vantage={**daemon.content["vantage"], "name": "renamed"})
        os.write(writing, before)
        os.close(writing)
        (ready,) = await daemon.told("ready")
        assert ready["vantage"] == "renamed"
        await ends_in_time(daemon)

    async def test_while_one_reading_hangs_no_other_begins(self) -> None:
        begun, end = [], threading.Event()

        def hangs() -> Settings:
            begun.append(True)
            end.wait()
            raise TimeoutError

        reader = Reader(hangs, bound=0.05)
        for _ in range(3):
            with pytest.raises(NothingComes):
                await reader.read()
        assert len(begun) == 1
        end.set()


@pytest.mark.parametrize("how", ["fifos", "a disk that hangs"])
async def test_files_that_no_longer_answer_stop_nothing(daemon: Running, how: str) -> None:
    """The web-config, a token, a log, the history: what each is for suffers, and it is said; all else goes on."""
    folder = daemon.folder / "disk"
    folder.mkdir()
    log, users, token = (folder / name for name in ("mail.log", "web.yaml", "token"))
    for file, text in ((log, ""), (users, "http_server_config: {http2: true}\n"), (token, "s3cret\n")):
        file.write_text(text)
    daemon.write(
        web={**daemon.content["web"], "config_file": str(users)},
        sink={"kind": "loki", "url": f"http://127.0.0.1:{free_port()}", "bearer_token_file": str(token)},
        evidence=with_source(daemon, {"kind": "file", "path": str(log)}),
        history={"file": str(folder / "history.db")},
    )
    serves = f'mailprobe_evidence_source_up{{source="file:{log}"}}'
    latest = 'mailprobe_last_session_timestamp_seconds{path="vip",service="imaps"}'
    with hung_disk(folder) if how == "a disk that hangs" else nullcontext() as disk:
        await daemon.start()
        await daemon.sees("preserved")
        assert (await daemon.metrics())[serves] == 1
        if disk is not None:
            disk.hang()
        else:
            for file in (log, users, token):
                file.unlink()
                os.mkfifo(file)
        then = (await daemon.metrics())[latest]
        await until(lambda: _is(daemon, lambda told: told[serves] == 0), "a source that does not serve")
        await until(lambda: _is(daemon, lambda told: told[latest] > then + 1), "sessions that go on")
        why = "no answer within 2 s" if disk is not None else "no regular file"
        await until(lambda: _reason(daemon, "the web-config file was not taken", users, why), "a word about the users")
        await until(lambda: _reason(daemon, "sink: verdicts are not pushed", token, why), "a word about the token")
        if disk is not None:
            told, kept = "history: sessions are not written down; tried again within a minute", folder / "history.db"
            await until(lambda: _reason(daemon, told, kept, "does not answer in time"), "a word about the history")
        await ends_in_time(daemon)
        lost = daemon.lines("history: what was not written down before the end is lost")
        assert [one["sessions"] > 0 for one in lost] == [True] * (disk is not None)


def _reason(daemon: Running, event: str, *parts: object) -> bool:
    return any(all(str(part) in line["reason"] for part in parts) for line in daemon.lines(event))


async def _is(daemon: Running, holds: Callable[[Mapping[str, float]], bool]) -> bool:
    return holds(await daemon.metrics())


class TestASource:
    async def test_that_is_being_opened_delays_no_end(self, daemon: Running) -> None:
        async with HungLoki() as loki:
            daemon.write(evidence=with_source(daemon, loki.source))
            daemon.launch()
            await asyncio.wait_for(loki.asked.wait(), DEADLINE)
            assert (await daemon.get("/-/ready"))[0] == 503
            await ends_in_time(daemon)

    async def test_that_is_being_opened_is_waited_for_before_a_reload_is_told_of(self, daemon: Running) -> None:
        place = str(daemon.folder / "notify")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
            heard.bind(place)
            heard.settimeout(0)
            daemon.environment = {"NOTIFY_SOCKET": place}
            async with HungLoki() as loki:
                daemon.write(evidence=with_source(daemon, loki.source))
                process = daemon.launch()
                await asyncio.wait_for(loki.asked.wait(), DEADLINE)
                process.send_signal(signal.SIGHUP)
                told = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(heard, 4096), DEADLINE)
                assert told.startswith(b"READY=1")
                assert (await daemon.get("/-/ready"))[0] == 200

    async def test_that_a_reload_opens_delays_no_end_and_is_left_open_by_none(self, daemon: Running) -> None:
        async with HungLoki() as loki:
            await daemon.start()
            daemon.offer(evidence=with_source(daemon, loki.source))
            question = asyncio.create_task(daemon.get("/-/reload", method="POST"))
            await asyncio.wait_for(loki.asked.wait(), DEADLINE)
            await ends_in_time(daemon)
            await asyncio.wait([question])
            question.exception()


async def test_a_login_that_is_being_checked_delays_no_end(daemon: Running) -> None:
    dear = "$2y$16$" + bcrypt.hashpw(b"x", bcrypt.gensalt(4)).decode()[7:]
    users = daemon.folder / "web.yaml"
    users.write_text(yaml.safe_dump({"basic_auth_users": {"somebody": dear}}))
    daemon.write(web={**daemon.content["web"], "config_file": str(users)})
    process = daemon.launch()
    await daemon.told("ready")
    before = _threads(process.pid)
    questions = [asyncio.create_task(daemon.get("/-/healthy", auth=("somebody", str(n)))) for n in range(3)]
    await until(lambda: _threads(process.pid) > before, "a thread for the hash")
    await ends_in_time(daemon)
    await asyncio.wait(questions)
    assert all(question.exception() for question in questions)


BY_NAME = """
import asyncio, signal, socket, sys, time
from pathlib import Path
from tests.service.running import *

deaf = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
deaf.bind(("127.0.0.1", 53))

async def main(folder):
    web = f"127.0.0.1:{free_port()}"
    content = {
        "paths": [{"name": "a", "host": "127.0.0.1", "endpoints": [{"service": "smtp", "port": 2525}]}],
        "evidence": {"sources": [
            {"kind": "loki", "url": f"http://loki{number}.example.org:3100", "query": '{a="b"}'} for number in range(3)
        ]},
        "sink": {"kind": "loki", "url": "http://sink.example.org:3100"},
        "dovecot_metrics": {"url": "http://dovecot.example.org:9166/metrics"},
        "web": {"listen": web}, "history": {"file": str(folder / "history.db")},
    }
    async with aiohttp.ClientSession() as session:
        one = Running(folder, content, session)
        one.write()
        await one.start()
        begun = time.monotonic()
        await asyncio.gather(*(one.get("/metrics") for _ in range(5)))
        scraped = time.monotonic() - begun
        print(scraped < 2, *await one.ended(signal.SIGTERM))

asyncio.run(main(Path(sys.argv[1])))
"""


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="needs a network namespace of its own")
def test_a_resolver_that_is_dead_delays_neither_metrics_nor_the_end(tmp_path: Path) -> None:
    resolver = tmp_path / "resolv.conf"
    resolver.write_text("nameserver 127.0.0.1\n")
    script = f'ip link set lo up && mount --bind {resolver} /etc/resolv.conf && exec {sys.executable} -c "$@"'
    command = ["unshare", "--net", "--mount", "sh", "-c", script, "sh", BY_NAME, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=REPOSITORY)
    scraped, code, seconds = done.stdout.split()
    assert (scraped, code, float(seconds) < IN_TIME) == ("True", "0", True), done


def _writing_to(fifo: Path) -> int | None:
    """The other end of a FIFO that somebody reads, or waits to read; he has to wait on."""
    try:
        return os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        return None


def _threads(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/task"))
