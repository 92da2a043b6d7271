"""What checks look at, and what they find: the sound parts of a file, faults and warnings at locations."""

from __future__ import annotations

from dataclasses import dataclass

from probe.model import Networks
from probe.settings.evidence import EvidenceSettings
from probe.settings.faults import Location
from probe.settings.loki import LokiSink
from probe.settings.parts import HistorySettings, ScheduleSettings, TimeoutSettings, TopologySettings, VantageSettings
from probe.settings.paths import EndpointSettings, PathSettings


@dataclass(frozen=True, slots=True)
class Found:
    """A fault at a location."""

    location: Location
    found: str
    expected: str


@dataclass(frozen=True, slots=True)
class Doubt:
    """A warning at a location."""

    location: Location
    reason: str


Finding = Found | Doubt
SoundPath = tuple[Location, PathSettings]
SoundEndpoint = tuple[Location, EndpointSettings]


@dataclass(frozen=True, kw_only=True, slots=True)
class Draft:
    """The sound parts of a file; None and missing items are parts that already have a fault of their own.

    `endpoints` are all sound endpoints, also those of paths that are not sound themselves.
    """

    vantage: VantageSettings | None = None
    paths: tuple[SoundPath, ...] = ()
    endpoints: tuple[SoundEndpoint, ...] = ()
    schedule: ScheduleSettings | None = None
    timeouts: TimeoutSettings | None = None
    networks: Networks | None = None
    evidence: EvidenceSettings | None = None
    topology: TopologySettings | None = None
    history: HistorySettings | None = None
    sink: LokiSink | None = None
