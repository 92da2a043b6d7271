"""The process of the daemon: signals, log, exit."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Mapping

from probe import notices
from probe.service.clock import steady_clock
from probe.service.daemon import Daemon, Load
from probe.service.systemd import Systemd

STOPPING = (signal.SIGTERM, signal.SIGINT)

SWITCH = 0.0001
"""Seconds after which a thread has to let another one go on. Sessions run in one thread and let go of the interpreter
at each octet sent; while another thread wrote the metrics of 1,000 endpoints, each cost them Python's own 5 ms."""


async def run(load: Load, environment: Mapping[str, str]) -> None:
    """Run until SIGTERM or SIGINT. Raises ConfigurationError or UnusableCaFile where it cannot begin."""
    settings = load()
    sys.setswitchinterval(SWITCH)
    notices.configure(as_json=not sys.stderr.isatty())
    for warning in settings.warnings:
        notices.warn("configuration", path=warning.path, reason=warning.reason)
    daemon = Daemon(load, settings, steady_clock(), Systemd(environment))
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in STOPPING:
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, daemon.hang_up)
    await daemon.run(stop)
