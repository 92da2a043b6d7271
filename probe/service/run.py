"""The process of the daemon: signals, log, exit."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Mapping

from probe import notices
from probe.aside import unless
from probe.service.clock import steady_clock
from probe.service.daemon import Daemon
from probe.service.reading import Load, Reader
from probe.service.systemd import Systemd
from probe.settings import Settings
from probe.streams import write_behind

STOPPING = (signal.SIGTERM, signal.SIGINT)

SWITCH = 0.0001
"""Seconds after which a thread has to let another one go on. Sessions run in one thread and let go of the interpreter
at each octet sent; while another thread wrote the metrics of 1,000 endpoints, each cost them Python's own 5 ms."""


async def run(load: Load, environment: Mapping[str, str]) -> None:
    """Run until SIGTERM or SIGINT. Raises ConfigurationError, UnusableCaFile or NothingComes where it cannot begin."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in STOPPING:
        loop.add_signal_handler(number, stop.set)
    reader = Reader(load)
    settings = await _first(reader, stop)
    if settings is None:
        return
    sys.setswitchinterval(SWITCH)
    log = write_behind(_tell_lost)
    notices.configure(as_json=not sys.stderr.isatty())
    for warning in settings.warnings:
        notices.warn("configuration", path=warning.path, reason=warning.reason)
    daemon = Daemon(reader.read, settings, steady_clock(), Systemd(environment), log)
    loop.add_signal_handler(signal.SIGHUP, daemon.hang_up)
    await daemon.run(stop)


async def _first(reader: Reader, stop: asyncio.Event) -> Settings | None:
    """The configuration to begin with, read once more if SIGHUP came meanwhile; None if told to stop before."""
    loop, again = asyncio.get_running_loop(), asyncio.Event()
    loop.add_signal_handler(signal.SIGHUP, again.set)
    while True:
        again.clear()
        reading = loop.create_task(reader.read())
        settings = await unless(stop, reading)
        if settings is None:
            reading.cancel()
        if settings is None or not again.is_set():
            return settings


def _tell_lost(lines: int) -> None:
    notices.warn("lines of the log are missing here: nobody read them in time", lines=lines)
