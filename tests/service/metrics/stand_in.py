"""A station that stands still: what metrics are a view of, set by hand. And what reads metrics: promtool."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from probe.evidence.health import Heard
from probe.model import Endpoint, EndpointName, Service, Topology
from probe.service.clock import SteadyClock
from probe.service.ledger import Ledger, Restored
from probe.service.station import Asked, Past, Reload
from probe.settings import Settings, load

SMTP = Endpoint(path="vip", service=Service.SMTP, host="10.0.20.202", port=25)
SMTP_TOO = Endpoint(path="vip", service=Service.SMTP, host="10.0.20.202", port=2525)
IMAPS = Endpoint(path="vip", service=Service.IMAPS, host="10.0.20.202", port=993)


class Dial:
    """Two clocks that show what the test sets them to."""

    def __init__(self) -> None:
        self.monotonic = 0.0
        self.wall = 0.0

    def clock(self) -> SteadyClock:
        return SteadyClock(monotonic=lambda: self.monotonic, wall_time=lambda: self.wall)


@dataclass(kw_only=True)
class StandIn:
    """Everything a Station shows."""

    settings: Settings
    ledger: Ledger
    clock: SteadyClock = field(default_factory=lambda: Dial().clock())
    started: float = 0.0
    past: Past | None = None
    topology: Topology | None = None
    logins: float | None = None
    clients: Mapping[str, int] = field(default_factory=dict)
    reload: Reload = field(default_factory=lambda: Reload(at=0.0))
    reloaded: float | None = None
    waiting_for: tuple[str, ...] = ()
    troubles: tuple[str, ...] = ()
    sources: tuple[Heard, ...] = ()

    def heard(self) -> tuple[Heard, ...]:
        return self.sources

    async def ask(self, endpoint: EndpointName, *, seconds: float) -> Asked:
        return Asked(refusal="it stands still")

    async def read_configuration_again(self) -> Reload:
        return self.reload


def stand_in(folder: Path, endpoints: Sequence[Endpoint], restored: Restored | None = None, **shown: Any) -> StandIn:
    """A station called `lan-probe` with these endpoints, in a fresh folder for its configuration."""
    file = folder / "mailprobe.yaml"
    path = {"name": "vip", "host": "10.0.20.202", "endpoints": [{"service": "smtp"}]}
    file.write_text(yaml.safe_dump({"vantage": {"name": "lan-probe"}, "paths": [path]}))
    settings = load(file, environment={}, hostname="host")
    return StandIn(settings=settings, ledger=Ledger(endpoints, restored), **shown)


def program(name: str, package: str) -> str:
    """Where a Debian program is; its tests are skipped where it is not, and say so."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not here: apt install {package}")
    return found


def lint(text: bytes) -> str:
    """What promtool has to say of these metrics; nothing, if they are as Prometheus wants them."""
    command = [program("promtool", "prometheus"), "check", "metrics"]
    done = subprocess.run(command, input=text, capture_output=True, timeout=30, check=False)
    return (done.stdout + done.stderr).decode() + ("" if done.returncode == 0 else f"exit code {done.returncode}")
