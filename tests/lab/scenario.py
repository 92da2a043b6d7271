"""What a scenario is: a value that says how a fault is made and what the probe must say to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from tests.lab.addresses import STOCK, VIP
from tests.lab.world import NetworkState


class Preparation(StrEnum):
    """What must be done to the servers before the fault is there."""

    NOTHING = "nothing"
    SPEND_RATE_LIMIT = "spend-rate-limit"
    THROTTLE = "throttle"
    FILL_MAILBOX = "fill-mailbox"


class Secret(StrEnum):
    """Which password a scenario's configuration gives to the probe."""

    RIGHT = "right"
    WRONG = "wrong"
    WHOAMI = "whoami"
    """No password, for the user that Dovecot refuses with the client's address."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """The verdict due for one service."""

    verdict: str
    masked_by: str | None = None
    also: frozenset[str] = frozenset()

    def allows(self, verdict: str) -> bool:
        return verdict == self.verdict or verdict in self.also


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One row of the table."""

    name: str
    what: str
    expected: Mapping[str, Expectation]
    by_generation: Mapping[str, Mapping[str, Expectation]] = field(default_factory=dict)
    network: NetworkState = field(default_factory=NetworkState)
    vantage: str = "vantage"
    """The namespace in which the probe runs: outside, behind the router, or on the nodes' own link (`lan`)."""
    host: str = VIP.v4
    ports: Mapping[str, int] = field(default_factory=lambda: STOCK)
    proxy_header: str = "none"
    source_address: str | None = None
    prepare: Preparation = Preparation.NOTHING
    logins: Mapping[str, Secret] = field(default_factory=dict)
    imprints: Mapping[str, str] = field(default_factory=dict)
    server_name: str | None = None
    trusts_lab: bool = True
    networks: Mapping[str, tuple[str, ...]] | None = None
    session_seconds: int = 15
    reads_logs: bool = True
    spoofs: bool = False
    background: float = 0.0
    """Look-alike sessions a second that belong to the scenario."""

    def expected_of(self, generation: str) -> Mapping[str, Expectation]:
        return {**self.expected, **self.by_generation.get(generation, {})}
