"""`probe watch` as a user types it: on terminals wide and narrow, into a pipe, refused, ended by a signal."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import pty
import re
import resource
import signal
import struct
import sys
import termios
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from probe.cli_watch import look_at_process, write_report
from probe.demo.scenes import Scene
from probe.demo.world import CLIENT, DemoWorld, demo_world
from probe.model import Service
from probe.report.watched_words import Times
from tests.service.running import until
from tests.test_cli import run
from tests.watched import watched

REPOSITORY = Path(__file__).parent.parent
BRISK = {"schedule": {"max_sessions_per_minute": 600}, "timeouts": {"connect": "1s", "session": "5s", "evidence": "2s"}}
DEADLINE = 30.0
WATCHING = "the baseline is there"


class Watching:
    """A running `probe watch` whose standard error is read as it comes."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.said = ""

    async def until(self, text: str) -> None:
        assert self.process.stderr is not None
        async with asyncio.timeout(DEADLINE):
            while text not in self.said:
                line = await self.process.stderr.readline()
                assert line, f"it ended before it said {text!r}: {self.said}"
                self.said += line.decode()

    async def end(self, number: int | None = signal.SIGINT) -> tuple[int, str]:
        if number is not None:
            self.process.send_signal(number)
        async with asyncio.timeout(DEADLINE):
            out, err = await self.process.communicate()
        self.said += err.decode()
        assert self.process.returncode is not None
        return self.process.returncode, out.decode()


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[DemoWorld]:
    async with demo_world(postfix_waits=1.5, dovecot_waits=1.0) as world:
        yield world


def configured(world: DemoWorld, folder: Path, **changed: Any) -> Path:
    """The world's configuration, brisk."""
    file = folder / "mailprobe.yaml"
    file.write_text(yaml.safe_dump({**world.config(), **BRISK, **changed}))
    return file


def names(world: DemoWorld) -> list[str]:
    """Its endpoints, as they are told."""
    return [f"vip/{service}:{world.place(service)[1]}" for service in Service]


@asynccontextmanager
async def watching(config: Path, *arguments: str) -> AsyncIterator[Watching]:
    """It, killed at the end if it still runs."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "probe", "watch", "--config", str(config), *arguments),
        cwd=REPOSITORY,
        stdout=PIPE,
        stderr=PIPE,
    )
    try:
        yield Watching(process)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


async def test_a_gap_is_found_and_told_in_every_form(world: DemoWorld, tmp_path: Path) -> None:
    report = tmp_path / "drain.html"
    report.write_text("of yesterday")
    (tmp_path / "drain.1.html").write_text("of the day before")
    loop = asyncio.get_running_loop()
    async with watching(configured(world, tmp_path), "--format", "json", "--report", str(report)) as one:
        await one.until(WATCHING)
        began = loop.time()
        await world.change_to(Scene.SILENT)
        went = loop.time() - began
        for name in names(world):
            await one.until(f"{name} went")
        before = loop.time()
        await world.change_to(Scene.STRAIGHT)
        back = loop.time() - began
        for name in names(world):
            await one.until(f"{name} came back")
        code, out = await one.end()
    told = json.loads(out)
    assert (code, told["rule"], told["ended_by"]) == (2, "outage-seen", "interrupted")
    for endpoint in told["endpoints"]:
        (outage,) = [gap for gap in endpoint["outages"] if gap["kind"] == "unreachable"]
        # On loopback a queue is filled and emptied door by door, so the truth is a span.
        assert before - began - went - 0.5 < outage["seconds"] < back + 0.5
        assert outage["how"] == ["timed_out"]
        assert endpoint["cadence"]["counted"] <= 1
    page = report.read_text()
    assert "<script" not in page
    kept = [(tmp_path / f"drain.{number}.html").read_text() for number in (1, 2)]
    assert kept == ["of the day before", "of yesterday"]
    assert f"probe: {report} was there already, and is kept as {tmp_path / 'drain.2.html'}" in one.said
    assert one.said.splitlines()[-1] == f"probe: the report is in {report}"
    assert all(name in page for name in names(world))


async def test_stable_from_the_start_ends_by_itself_with_0(world: DemoWorld, tmp_path: Path) -> None:
    """A report that can no longer be written is told, and does not change the exit code."""
    async with watching(configured(world, tmp_path), "--until-stable", "0.5", "--report", "/dev/full") as one:
        code, out = await one.end(None)
    assert (code, out.rstrip().splitlines()[-1]) == (0, "OK: nobody was out")
    assert "the report could not be written to /dev/full: No space left on device" in one.said
    assert out.count("✓ preserved") == 4
    assert WATCHING in one.said


async def test_clients_masked_after_the_change_are_critical(world: DemoWorld, tmp_path: Path) -> None:
    async with watching(configured(world, tmp_path), "--max-outage", "60") as one:
        await one.until(WATCHING)
        await world.change_to(Scene.BEHIND_NODE)
        for name in names(world):
            await one.until(f"{name} masked by node")
        one.process.terminate()  # timeout(1) sends it to the process, and at once to its group
        code, out = await one.end(signal.SIGTERM)
    assert (code, out.count("✗ masked by node")) == (2, 4)
    assert f"preserved ({CLIENT}) → masked by node (127.0.20.102)" in out
    assert "out as the watch ended" in out


async def test_an_outage_past_what_is_tolerated_fails_at_once(world: DemoWorld, tmp_path: Path) -> None:
    async with watching(configured(world, tmp_path), "--max-outage", "1.5") as one:
        await one.until(WATCHING)
        await world.change_to(Scene.SILENT)
        code, out = await one.end(None)
    assert code == 2
    assert re.search(
        r"CRITICAL: vip/\S+ was out for at least \d\.\d s \([^)]+\), and it lasts; 1\.5 s are tolerated", out
    )


async def test_what_is_broken_before_is_refused_unless_told(world: DemoWorld, tmp_path: Path) -> None:
    config, report = configured(world, tmp_path), tmp_path / "drain.html"
    await world.change_to(Scene.SILENT)
    report.write_text("of yesterday")
    async with watching(config, "--until-stable", "1", "--report", str(report)) as one:
        code, out = await one.end(None)
    assert (code, out.count("✗ silent_drop")) == (2, 4)
    assert (tmp_path / "drain.1.html").read_text() == "of yesterday"
    assert "probe: refuses to watch what is broken before anything was changed: vip/smtp" in one.said
    assert "--from-broken" in one.said
    assert WATCHING not in one.said
    async with watching(config, "--from-broken", "--until-stable", "0.5") as one:
        await one.until(WATCHING)
        await world.change_to(Scene.STRAIGHT)
        code, out = await one.end(None)
    closing = " ".join(out[out.index("OK: ") :].split())
    back = r"OK: what was out from the start is back \(longest vip/\S+: at least \d+\.\d s\), and nobody was out since"
    assert (code, bool(re.fullmatch(back, closing))) == (0, True), closing
    assert out.count("before ") >= 4


class Drawing:
    """A `probe watch` on a terminal of its own, and all that it has drawn there."""

    def __init__(self, process: asyncio.subprocess.Process, terminal: int) -> None:
        self._process = process
        self._terminal = terminal
        self._drawn = b""
        self._more = asyncio.Event()
        self._over = False
        asyncio.get_running_loop().add_reader(terminal, self._read)

    @property
    def text(self) -> str:
        return plain(self._drawn)

    def _read(self) -> None:
        try:
            self._drawn += os.read(self._terminal, 1 << 16)
        except OSError:  # the other end is gone
            self._over = True
            asyncio.get_running_loop().remove_reader(self._terminal)
        self._more.set()

    async def until(self, text: str) -> None:
        async with asyncio.timeout(DEADLINE):
            while text not in self.text:
                assert not self._over, self.text
                self._more.clear()
                await self._more.wait()

    async def end(self) -> int:
        self._process.send_signal(signal.SIGINT)
        code = await self.code()
        async with asyncio.timeout(DEADLINE):
            while not self._over:
                self._more.clear()
                await self._more.wait()
        return code

    def stop(self) -> None:
        """Ctrl-S: from now on the terminal takes nothing."""
        os.write(self._terminal, b"\x13")

    def terminate(self) -> None:
        self._process.terminate()

    async def code(self) -> int:
        async with asyncio.timeout(DEADLINE):
            return await self._process.wait()


@asynccontextmanager
async def drawing(columns: int, config: Path, *arguments: str) -> AsyncIterator[Drawing]:
    """It on a terminal of so many columns, killed at the end if it still runs."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    surroundings = {key: text for key, text in os.environ.items() if key not in ("COLUMNS", "LINES")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "probe", "watch", "--config", str(config), *arguments),
        cwd=REPOSITORY,
        env={**surroundings, "TERM": "xterm", "PYTHONIOENCODING": "utf-8"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    try:
        yield Drawing(process, ours)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        asyncio.get_running_loop().remove_reader(ours)
        os.close(ours)


def plain(drawn: bytes) -> str:
    """What was drawn, without colours and movements."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", drawn.decode("utf-8", "replace")).replace("\r", "\n")


@pytest.mark.parametrize("columns", [40, 120])
async def test_on_a_terminal(world: DemoWorld, tmp_path: Path, columns: int) -> None:
    """Every line of the board fits; the wide one has strips and sessions too. The table at the end may wrap."""
    config = tmp_path / "mailprobe.yaml"
    config.write_text(yaml.safe_dump(world.config()))
    async with drawing(columns, config) as drawn:
        await drawn.until("watching for")
        assert "".join(WATCHING.split()) in "".join(drawn.text.split()), "for whoever waits to begin the change"
        await world.change_to(Scene.SILENT)
        await drawn.until("✗ no answer")
        code = await drawn.end()
    board = drawn.text.partition("CRITICAL")[0].rpartition("watching for")[2]
    assert code == 2
    assert max(map(len, board.splitlines())) <= columns
    assert ("█" in board, "preserved (" in board.partition("Ctrl-C")[0]) == (columns == 120, columns == 120)
    assert re.search(r"✗ no answer +\d", board)
    assert "Ctrl-C" in board


async def test_on_a_terminal_that_is_stopped_nothing_waits_for_its_reader(world: DemoWorld, tmp_path: Path) -> None:
    """Neither what signals ask for, nor the end past --max-outage, nor the report."""
    config, report = configured(world, tmp_path), tmp_path / "drain.html"
    async with drawing(80, config) as drawn:
        await drawn.until(WATCHING)
        drawn.stop()
        drawn.terminate()
        assert await drawn.code() == 0
    async with drawing(80, config, "--max-outage", "1", "--report", str(report)) as drawn:
        await drawn.until(WATCHING)
        drawn.stop()
        await world.change_to(Scene.SILENT)
        assert await drawn.code() == 2
        assert "tolerated" not in drawn.text
    assert "1 s are tolerated" in report.read_text()


@pytest.mark.parametrize("errors_too", [False, True])
async def test_a_result_that_nobody_takes_holds_no_signal_up(
    world: DemoWorld, tmp_path: Path, *, errors_too: bool
) -> None:
    """Nor does a pipe that is full before the first warning."""
    warned_of = {"evidence": {"reply": "off"}} if errors_too else {}
    config = configured(world, tmp_path, **warned_of)
    reading, writing = os.pipe()
    try:
        os.write(writing, b"\n" * fcntl.fcntl(reading, fcntl.F_GETPIPE_SZ))  # it is full
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "probe", "watch", "--config", str(config)),
            *("--until-stable", "0.2", "--report", str(tmp_path / "report.html")),
            cwd=REPOSITORY,
            stdout=writing,
            stderr=writing if errors_too else asyncio.subprocess.DEVNULL,
        )
        async with asyncio.timeout(DEADLINE):
            await until((tmp_path / "report.html").exists, "a watch")
            await until(lambda: (tmp_path / "report.html").stat().st_size, "its end", DEADLINE)
            process.terminate()
            assert await process.wait() == 143
    finally:
        os.close(reading)
        os.close(writing)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--path", "vpi"], "unknown path 'vpi'"),
        (["--interval", "0.1"], "0.1"),
        (["--interval", "nan"], "number of seconds"),
        (["--until-stable", "0"], "0"),
        (["--until-stable", "inf"], "number of seconds"),
        (["--max-outage", "-1"], "-1"),
        (["--format", "nagios"], "nagios"),
        (["--while", "1"], "--while says from when on --until-stable counts: give both"),
        (["--while", "4194304", "--until-stable", "1"], "--while 4194304: there is no such process on this machine"),
        (["--report", "nowhere/at/all.html"], "nowhere/at/all.html: No such file or directory"),
        (["--report", "."], "Is a directory"),
        (["--report", "pipe"], "pipe: neither a regular file nor a character device"),
        (["more"], "more"),
    ],
)
def test_wrong_usage_is_64_before_the_first_packet(tmp_path: Path, arguments: list[str], said: str) -> None:
    path = {"name": "vip", "host": "127.0.0.1", "endpoints": [{"service": "smtp", "port": 1}]}
    (tmp_path / "mailprobe.yaml").write_text(yaml.safe_dump({"paths": [path]}))
    os.mkfifo(tmp_path / "pipe")
    done = run("watch", *arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (64, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_watch_that_would_wait_for_itself_is_refused_and_one_that_may_is_told_so(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(click.UsageError, match="that is this watch, and it would wait for its own end"):
        look_at_process(os.getpid())
    look_at_process(os.getppid())
    told = f"probe: process {os.getppid()} (--while) began this watch: if it waits for it, neither ends\n"
    assert capsys.readouterr().err == told


def test_a_report_for_which_there_is_no_room_is_none(tmp_path: Path) -> None:
    """Half a page under the name that was asked for would be taken for one."""
    report = tmp_path / "drain.html"
    report.touch()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        told = write_report(watched(), Times(UTC), report)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert told == f"the report could not be written to {report}: File too large"
    assert [(file, file.read_text()) for file in tmp_path.iterdir()] == [(report, "")]


def test_two_watches_with_one_report_leave_two(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = tmp_path / "same.html"
    for number in (1, 2):
        assert write_report(watched(), Times(UTC), report) == f"the report is in {report}", number
    assert sorted(file.name for file in tmp_path.iterdir()) == ["same.1.html", "same.html"]
    told = f"probe: {report} is another watch's, and is kept as {tmp_path / 'same.1.html'}\n"
    assert capsys.readouterr().err == told
