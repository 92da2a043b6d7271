"""The real logrotate against a writer that never stops: what survives on disk arrives, and arrives once."""

from __future__ import annotations

import asyncio
import gzip
import os
import shutil
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.evidence.sources.reading import reading

LOGROTATE = shutil.which("logrotate", path="/usr/sbin:/usr/bin:/sbin:/bin")

pytestmark = pytest.mark.skipif(LOGROTATE is None, reason="logrotate is not installed")


class Server(threading.Thread):
    """Logs numbered lines; reopens its log when told, as on SIGHUP."""

    def __init__(self, log: Path) -> None:
        super().__init__()
        self.log = log
        self.written = 0
        self.reopen = threading.Event()
        self.stopped = threading.Event()

    def run(self) -> None:
        fd = self.open()
        while not self.stopped.is_set():
            if self.reopen.is_set():
                os.close(fd)
                fd = self.open()
                self.reopen.clear()
            os.write(fd, b"%d mail postfix/smtpd[1]: connect from unknown[192.0.2.1]\n" % self.written)
            self.written += 1
            time.sleep(0.0002)
        os.close(fd)

    def open(self) -> int:
        return os.open(self.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)


@contextmanager
def serving(log: Path) -> Iterator[Server]:
    server = Server(log)
    server.start()
    try:
        yield server
    finally:
        server.stopped.set()
        server.join()


async def rotate(folder: Path, directives: str) -> None:
    config = folder / "logrotate.conf"
    config.write_text(f"{folder}/mail.log {{\n  su root root\n  rotate 100\n{directives}\n}}\n")
    config.chmod(0o600)
    assert LOGROTATE
    logrotate = await asyncio.create_subprocess_exec(LOGROTATE, "-f", "-s", str(folder / "state"), str(config))
    assert await logrotate.wait() == 0


def on_disk(folder: Path) -> set[int]:
    texts = [
        gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        for path in folder.glob("mail.log*")
    ]
    return {int(line.split(b" ")[0]) for line in b"".join(texts).splitlines()}


@pytest.mark.skipif(os.geteuid() != 0, reason="the `su` directive of the test needs root")
@pytest.mark.parametrize(
    "directives",
    [
        "  create 0644",
        "  create 0644\n  dateext\n  dateformat -%Y%m%d-%s",
        "  create 0644\n  compress\n  delaycompress",
        "  create 0644\n  compress",
        "  nocreate",
        "  copytruncate",
        "  copytruncate\n  dateext\n  dateformat -%Y%m%d-%s\n  extension .log",
        "  copytruncate\n  compress\n  delaycompress",
        "  copy",
    ],
)
async def test_logrotate(tmp_path: Path, directives: str) -> None:
    log = tmp_path / "mail.log"
    log.touch()
    async with reading(log) as consumer:
        with serving(log) as server:
            for _ in range(5):
                goal = server.written + 200
                await consumer.until(lambda goal=goal: server.written >= goal)  # type: ignore[misc]
                await consumer.until(lambda goal=goal: consumer.source.health.lines >= goal - 100)  # type: ignore[misc]
                await rotate(tmp_path, directives)
                server.reopen.set()
                if "dateext" in directives:
                    second = int(time.time())
                    await consumer.until(lambda second=second: int(time.time()) > second)  # type: ignore[misc]
        survived = on_disk(tmp_path)
        await consumer.until(lambda: survived <= {int(line.split(b" ")[0]) for line in consumer.lines}, 10)
        await consumer.settled()
        seen = Counter(int(line.split(b" ")[0]) for line in consumer.lines)
        assert {number for number, times in seen.items() if times > 1} == set()
        assert (consumer.source.health.gaps, consumer.source.health.cut) == (0, 0)
