"""What systemd is told, read from a real socket as systemd would."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from probe.service.systemd import Systemd


@pytest.fixture(params=["path", "abstract"])
def listener(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    name = f"@mailprobe-test-{os.getpid()}" if request.param == "abstract" else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind("\0" + name[1:] if name.startswith("@") else name)
        heard.settimeout(2)
        yield heard, name


def test_every_word_arrives(listener: tuple[socket.socket, str]) -> None:
    heard, name = listener
    systemd = Systemd({"NOTIFY_SOCKET": name})
    systemd.ready("4 of 4 endpoints ok\nREADY=0")
    systemd.alive("fine")
    systemd.reloading()
    systemd.stopping()
    words = [heard.recv(1024).decode() for _ in range(4)]
    assert words[0] == "READY=1\nSTATUS=4 of 4 endpoints ok READY=0"
    assert words[1] == "WATCHDOG=1\nSTATUS=fine"
    assert words[2].startswith("RELOADING=1\nMONOTONIC_USEC=")
    assert words[3] == "STOPPING=1"


def test_a_manager_that_hears_too_much_is_told_again_that_we_are_ready(listener: tuple[socket.socket, str]) -> None:
    heard, name = listener
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as others, suppress(BlockingIOError):
        others.settimeout(0)
        while True:
            others.sendto(b"STATUS=others", heard.getsockname())
    systemd = Systemd({"NOTIFY_SOCKET": name})
    systemd.ready("fine")
    heard.settimeout(0)
    with suppress(BlockingIOError):
        while True:
            assert heard.recv(1024) == b"STATUS=others"
    for words in ([b"READY=1", b"WATCHDOG=1"], [b"WATCHDOG=1"]):
        systemd.alive("fine")
        assert [heard.recv(1024).split(b"\n")[0] for _ in words] == words


def test_without_systemd_or_with_a_dead_one_nothing_happens(tmp_path: Path) -> None:
    Systemd({}).ready("fine")
    Systemd({"NOTIFY_SOCKET": str(tmp_path / "nobody")}).ready("fine")


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
    ],
)
def test_the_watchdog_is_asked_for_by_the_environment(environment: dict[str, str], seconds: float | None) -> None:
    assert Systemd(environment).watchdog == seconds
