"""What fails around a daemon, or in it: said, survived, and over when its cause is."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from probe.demo.world import DemoWorld, demo_world
from probe.evidence.sources.file import FileSource
from probe.evidence.sources.source import Health, Lines, State
from probe.service.clock import steady_clock
from probe.service.daemon import Daemon
from probe.service.reading import Reader
from probe.service.systemd import Systemd
from probe.service.watch import Watch
from probe.settings import Settings, load
from probe.streams import Behind, Output
from tests.service.running import Running, running, until

LINE = b"Nov 22 18:29:06 mail postfix/smtpd[1]: connect from unknown[192.0.2.1]\n"
BUG = "this is a bug of mailprobe's own"


@pytest.fixture
async def world() -> AsyncIterator[DemoWorld]:
    async with demo_world(postfix_waits=0.5, dovecot_waits=0.3) as world:
        yield world


async def test_a_source_that_goes_away_and_comes_back(world: DemoWorld, tmp_path: Path) -> None:
    link = tmp_path / "mail.log"
    up = f'mailprobe_evidence_source_up{{source="file:{link}"}}'
    async with running(world, tmp_path, evidence={"sources": [{"kind": "file", "path": str(link)}]}) as one:
        await one.start()
        await one.sees("unverified")
        assert await one.metric(up) == 0
        assert (await one.told("a source does not serve yet"))[0]["source"] == f"file:{link}"
        link.symlink_to(world.log_file)
        await one.sees("preserved")
        assert await one.metric(up) == 1
        link.unlink()
        await until(partial(_is, one, up, 0), "a source that is down")
        assert f"{link} does not exist" in (await one.get("/"))[1]
        link.symlink_to(world.log_file)
        await until(partial(_is, one, up, 1), "a source that is up again")
        await one.sees("preserved")


async def _is(one: Running, series: str, value: float) -> bool:
    return await one.metric(series) == value


class Faulty:
    """A source with a bug: it fails so many times, brings what no reader takes, and then lines."""

    name = "faulty"

    def __init__(self, fails: int) -> None:
        self.followed = 0
        self.mended = asyncio.Event()
        self._fails = fails

    @property
    def health(self) -> Health:
        return Health(state=State.FOLLOWING)

    async def start(self) -> None:
        return

    async def follow(self) -> AsyncIterator[Lines]:
        self.followed += 1
        if self.followed <= self._fails:
            raise RuntimeError("the source broke")
        yield Lines(time.time(), "no octets")  # type: ignore[arg-type]  # that is the bug
        await self.mended.wait()
        yield Lines(time.time(), LINE)
        await asyncio.Event().wait()

    def hurry(self, seconds: float) -> None:
        return

    async def close(self) -> None:
        return


async def test_a_bug_in_a_source_is_said_and_the_others_go_on(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "mail.log"
    log.touch()
    faulty = Faulty(fails=1)
    async with Watch([faulty, FileSource(log, clock=time.time)], time.time) as watch:
        sick, sound = (partial(_heard, watch, number) for number in (0, 1))
        await until(lambda: "the source broke" in sick().reason, "the first bug")
        assert (sick().up, sound().up) == (False, True)
        log.write_bytes(LINE)
        await watch.news(5)
        assert {seen.source for seen in watch.since(0.0)} == {f"file:{log}"}
        await until(lambda: "mailprobe itself is at fault (TypeError" in sick().reason, "the second bug")
        faulty.mended.set()
        await until(lambda: sick().up, "a source that serves again")
        assert sick().reason == ""
        assert {seen.source for seen in watch.since(0.0)} == {f"file:{log}", "faulty"}
    said = capfd.readouterr().err
    assert said.count(BUG) == 2
    assert "the source broke" in said


def _heard(watch: Watch, number: int) -> Any:
    return watch.heard({})[number]


class Swap:
    """Reads the configuration; what it gives next can be changed."""

    def __init__(self, read: Callable[[], Settings]) -> None:
        self.read = read

    def __call__(self) -> Settings:
        return self.read()


class Odd:
    """An evidence source that the configuration lets through and nobody can open: a bug of ours."""

    kind = "odd"


def with_odd_source(read: Callable[[], Settings]) -> Settings:
    settings = read()
    return settings.model_copy(update={"evidence": settings.evidence.model_copy(update={"sources": (Odd(),)})})


async def test_a_configuration_that_cannot_begin_gives_way_to_the_old_one(world: DemoWorld, tmp_path: Path) -> None:
    async with running(world, tmp_path) as one:
        good = partial(load, one.config, environment={}, hostname="here")
        swap, stop = Swap(good), asyncio.Event()
        daemon = Daemon(Reader(swap).read, good(), steady_clock(), Systemd({}))
        task = asyncio.create_task(daemon.run(stop))
        await until(lambda: not daemon.waiting_for, "a daemon that is ready")
        swap.read = partial(with_odd_source, good)
        done = await daemon.read_configuration_again()
        assert done.fault is not None
        assert "a bug of mailprobe's own (KeyError: 'odd')" in done.fault
        await one.sees("preserved")
        swap.read = _broken
        done = await daemon.read_configuration_again()
        assert done.fault == "a bug of mailprobe's own (ZeroDivisionError: division by zero)"
        swap.read = good
        assert (await daemon.read_configuration_again()).fault is None
        stop.set()
        await task


async def test_a_bug_after_the_old_configuration_has_ended_ends_the_daemon(world: DemoWorld, tmp_path: Path) -> None:
    """It would only look alive; who restarts it gets the error that says what is wrong."""
    async with running(world, tmp_path) as one:
        good = partial(load, one.config, environment={}, hostname="here")
        swap = Swap(good)
        daemon = Daemon(Reader(swap).read, good(), steady_clock(), Systemd({}))
        task = asyncio.create_task(daemon.run(asyncio.Event()))
        await until(lambda: not daemon.waiting_for, "a daemon that is ready")
        swap.read = partial(with_odd_schedule, good)
        done = await daemon.read_configuration_again()
        assert done.fault is not None
        assert "it could not be put to work: a bug of mailprobe's own" in done.fault
        with pytest.raises(ZeroDivisionError):
            async with asyncio.timeout(10):
                await task


async def test_a_log_that_nobody_reads_is_told_on_the_page(world: DemoWorld, tmp_path: Path) -> None:
    reading, writing = os.pipe()
    log = Behind(Output(writing, "w"), lambda lost: None, most=0)
    async with running(world, tmp_path) as one:
        good = partial(load, one.config, environment={}, hostname="here")
        daemon = Daemon(Reader(good).read, good(), steady_clock(), Systemd({}), log)
        assert not daemon.troubles
        log.write(b"one\ntwo\n")
        assert daemon.troubles == ("nobody reads the log (standard error): 2 lines of it are lost so far",)
    os.close(reading)


def with_odd_schedule(read: Callable[[], Settings]) -> Settings:
    """An interval that no turn can be reckoned by: a bug of ours that shows when the patrol takes over."""
    settings = read()
    odd = settings.schedule.model_copy(update={"interval": Zero()})
    return settings.model_copy(update={"schedule": odd})


class Zero(float):
    """Nothing can be divided by it or it by anything."""

    def __truediv__(self, other: float) -> float:
        raise ZeroDivisionError


def _broken() -> Settings:
    raise ZeroDivisionError("division by zero")
