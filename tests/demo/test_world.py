"""The world's beginning and end: whatever happens, nothing is left of it."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import ssl
import time
from contextlib import suppress
from pathlib import Path

import pytest
import yaml

from probe.demo import world as world_module
from probe.demo.crew import Crew
from probe.demo.scenes import STEPS, Scene
from probe.demo.world import CLIENT, DemoWorld, demo_world
from probe.model import Service
from probe.settings import load, targets


def descriptors() -> list[str]:
    """What this process has open; numbers are left out because they are used again."""
    opened = []
    for link in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # the one that lists this folder
            opened.append(str(link.readlink()))
    return sorted(opened)


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The place for temporary files, as TMPDIR would set it."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


async def leave_nothing(before: list[str], scratch: Path) -> None:
    gc.collect()
    async with asyncio.timeout(5):
        while descriptors() != before:  # noqa: ASYNC110 - nobody tells when the last one is closed
            await asyncio.sleep(0.02)
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert os.listdir(scratch) == []


@pytest.mark.parametrize("scene", Scene)
async def test_nothing_is_left(scratch: Path, scene: Scene) -> None:
    before = descriptors()
    with socket.socket() as sock:
        sock.settimeout(0)
        sock.bind((CLIENT, 0))
        async with demo_world() as world:
            assert os.listdir(scratch) == [world.folder.name]
            await world.change_to(scene)
            with suppress(BlockingIOError):
                sock.connect(world.place(Service.SMTP))
            with suppress(TimeoutError):
                async with asyncio.timeout(0.5):
                    await asyncio.get_running_loop().sock_recv(sock, 100)
            began = time.monotonic()
        assert time.monotonic() - began < 0.9
    await leave_nothing(before, scratch)


async def test_nothing_is_left_of_a_start_that_fails(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The address of the second machine to be opened is none of this machine's."""
    before = descriptors()
    monkeypatch.setattr(world_module, "VIRTUAL", "192.0.2.1")
    with pytest.raises(OSError, match="assign"):
        async with demo_world():
            pytest.fail("a world without its virtual address")
    await leave_nothing(before, scratch)


async def test_nothing_is_left_after_an_exception(scratch: Path) -> None:
    before = descriptors()
    with pytest.raises(KeyError):
        async with demo_world():
            raise KeyError("in the midst")
    await leave_nothing(before, scratch)


async def test_a_bug_in_a_task_is_not_passed_over() -> None:
    async def bug() -> None:
        raise LookupError("a bug")

    async def weather() -> None:
        raise ConnectionResetError

    crew = Crew()
    crew.start(bug())
    crew.start(weather())
    await asyncio.sleep(0)
    with pytest.raises(LookupError, match="a bug"):
        await crew.dismiss()
    assert len(crew) == 0


async def test_the_configuration_is_written_and_read_back(world: DemoWorld) -> None:
    assert yaml.safe_load(world.config_file.read_text()) == world.config()
    settings = load(world.config_file, environment={}, hostname="demo")
    assert [endpoint.service for endpoint in targets(settings)] == list(Service)
    assert not settings.warnings


async def test_the_certificate_is_for_name_and_address(world: DemoWorld) -> None:
    trusting = ssl.create_default_context(cafile=str(world.ca_file))
    for name in ("mail.demo.test", "127.0.20.202"):
        streams = await asyncio.open_connection(*world.place(Service.IMAPS), ssl=trusting, server_hostname=name)
        assert (await streams[0].readline()).startswith(b"* OK [CAPABILITY ")
        streams[1].transport.abort()


def test_steps_are_two_plain_sentences_each() -> None:
    for step in STEPS:
        assert (step.changed + step.look_for).count(". ") <= 1
        assert step.changed.endswith(".")
        assert step.look_for.endswith(".")
