"""A scripted station for tests of the web server: a real ledger of real results, and answers as a test wants them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import ip_address, ip_network
from pathlib import Path

from probe.evidence.health import Heard
from probe.model import (
    Control,
    ControlKind,
    EndpointName,
    Evidence,
    Failure,
    FaultSign,
    Link,
    Networks,
    Outage,
    Phase,
    PhaseTiming,
    Result,
    Sighting,
    Sign,
    Spoken,
    Topology,
    Verdict,
)
from probe.report.json import timestamp
from probe.service.clock import SteadyClock
from probe.service.ledger import Ledger
from probe.service.station import Asked, Past, Reload
from probe.service.wanted import Wanted
from probe.settings import Settings, load, targets
from probe.verdict.judge import judge
from tests.builders import NODE, failed, smtp_session

BEGAN = 1_795_600_000.0
"""2026-11-25, on every clock of a scripted station."""

HOUR = 3_600.0
DAY = 24 * HOUR

SETTINGS = """
vantage: {name: lan-probe, addresses: [192.168.1.10]}
paths:
  - name: vip
    host: 10.0.20.202
    endpoints:
      - {service: smtp}
      - {service: submission, login: {username: probe@example.org, password: "${PASSWORD}"}}
      - {service: submissions}
      - {service: imaps}
  - name: haproxy
    host: mail.example.org
    endpoints: [{service: smtp}, {service: submission}, {service: imaps}]
networks: {nodes: [10.0.20.101/32, 10.0.20.102/32], pods: [10.10.0.0/16]}
evidence:
  sources:
    - kind: loki
      url: "http://loki:3100"
      query: '{namespace="mailserver"}'
      tenant: "${TENANT}"
      username: probe
      password: "${LOKI}"
schedule: {interval: 10m}
web: {listen: "127.0.0.1:0"}
"""

SECRETS = {"PASSWORD": "hunter2-of-the-mailbox", "TENANT": "tenant-out-of-the-environment", "LOKI": "hunter2-of-loki"}
"""What must never be read anywhere."""


def settings_of(directory: Path, text: str = SETTINGS) -> Settings:
    """Settings as the file gives them."""
    file = directory / "mailprobe.yaml"
    file.write_text(text, encoding="utf-8")
    return load(file, environment=SECRETS, hostname="here")


class Hands:
    """A clock that a test sets: both of SteadyClock's."""

    def __init__(self, now: float = BEGAN) -> None:
        self.now = now
        self.set_forward = 0.0

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.now + self.set_forward

    def clock(self) -> SteadyClock:
        return SteadyClock(self.monotonic, self.wall)


@dataclass
class Memory:
    """A history in memory. `broken`: it fails whatever it is asked."""

    records: list[Mapping[str, object]] = field(default_factory=list)
    over: list[Outage] = field(default_factory=list)
    broken: bool = False
    dropped: int = 0

    async def session(self, identity: str) -> Mapping[str, object] | None:
        self._fail()
        return next((one for one in self.records if one["id"] == identity), None)

    async def sessions(self, wanted: Wanted, most: int) -> Sequence[Mapping[str, object]]:
        self._fail()
        listed = sorted(self.records, key=lambda one: str(one["opened"]), reverse=True)
        fit = [one for one in listed if wanted.path in (None, one["path"])]
        if wanted.before is not None:
            fit = [one for one in fit if str(one["opened"]) < timestamp(wanted.before)]
        return wanted.behind({str(one["id"]): one for one in fit})[:most]

    async def outages(self, wanted: Wanted, most: int) -> Sequence[Outage]:
        self._fail()
        return wanted.behind({one.first: one for one in self.over if wanted.outage(one)})[:most]

    def _fail(self) -> None:
        if self.broken:
            raise OSError("the disk is gone")


Answers = Callable[[EndpointName, float], Awaitable[Asked]]


@dataclass
class Scripted:
    """A Station, as far as its shows see it."""

    settings: Settings
    hands: Hands = field(default_factory=Hands)
    past: Past | None = None
    topology: Topology | None = None
    logins: float | None = None
    clients: Mapping[str, int] = field(default_factory=dict)
    waiting_for: tuple[str, ...] = ()
    troubles: tuple[str, ...] = ()
    sources: tuple[Heard, ...] = ()
    fault: str | None = None
    reloaded: float | None = None
    answers: Answers | None = None
    asked: list[tuple[EndpointName, float]] = field(default_factory=list)
    reloads: int = 0
    reads: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.reads.set()
        self.clock = self.hands.clock()
        self.started = self.clock() - DAY
        self.ledger = Ledger(targets(self.settings))
        self.reload = Reload(at=self.started, fault=self.fault)

    def heard(self) -> tuple[Heard, ...]:
        return self.sources

    async def ask(self, endpoint: EndpointName, *, seconds: float) -> Asked:
        self.asked.append((endpoint, seconds))
        if self.answers is not None:
            return await self.answers(endpoint, seconds)
        return Asked(result=session_of(endpoint, self.clock()))

    async def read_configuration_again(self) -> Reload:
        self.reloads += 1
        await self.reads.wait()
        self.reload = Reload(at=self.clock(), fault=self.fault)
        return self.reload


def server(seconds: float, text: str) -> Spoken:
    return Spoken(seconds, ours=False, text=text)


def client(seconds: float, text: str) -> Spoken:
    return Spoken(seconds, ours=True, text=text)


GOOD = (
    server(0.021, "220 mail.example.org ESMTP Postfix"),
    client(0.022, "EHLO lan-probe"),
    server(0.024, "250-mail.example.org"),
    server(0.024, "250-STARTTLS"),
    server(0.024, "250 SMTPUTF8"),
    client(0.025, "NOOP"),
    server(0.026, "250 2.0.0 Ok"),
    client(0.030, "QUIT"),
    server(0.031, "221 2.0.0 Bye"),
)
PHASES = tuple(
    PhaseTiming(phase=phase, seconds=seconds)
    for phase, seconds in (
        (Phase.RESOLVE, 0.0004),
        (Phase.CONNECT, 0.0021),
        (Phase.GREETING, 0.0184),
        (Phase.HELLO, 0.0031),
        (Phase.STARTTLS, 0.0122),
        (Phase.IMPRINT, 0.0067),
        (Phase.QUIT, 0.0012),
    )
)


NETWORKS = Networks(nodes=(ip_network("10.0.20.101"), ip_network("10.0.20.102")))


def session_of(
    name: EndpointName,
    opened: float,
    verdict: Verdict = Verdict.PRESERVED,
    *,
    line: str = "Nov 25 13:32:01 mail postfix/smtpd[812]: disconnect from unknown[10.0.20.102] ehlo=2 noop=4",
    transcript: Sequence[Spoken] = GOOD,
    cause: str | None = None,
) -> Result:
    """A session judged by the real rules, so that its words are real ones. Of verdicts: those in the table below."""
    session = smtp_session(
        id=f"{name.path}-{name.service}-{opened:.0f}",
        path=name.path,
        service=name.service,
        port=name.port,
        opened=opened,
        connected=opened + 0.01,
        closed=opened + 0.0441,
        phases=PHASES,
        transcript=tuple(transcript),
        certificate_expiry=BEGAN + 40 * DAY,
    )
    evidence = Evidence()
    address = {Verdict.PRESERVED: ip_address("192.168.1.10"), Verdict.MASKED: NODE}.get(verdict)
    if address is not None:
        seen = Sighting(
            address=address,
            port=6940,
            link=Link.FINGERPRINT,
            source="loki:http://loki:3100",
            at=opened + 0.3,
            line=line,
        )
        evidence = Evidence(sightings=(seen,))
    fault = {
        Verdict.SILENT_DROP: failed(Phase.CONNECT, Failure.TIMED_OUT),
        Verdict.REFUSED: failed(Phase.CONNECT, Failure.REFUSED),
        Verdict.RATE_LIMITED: failed(Phase.GREETING, Failure.RATE_LIMITED, "421 4.7.0 too many connections"),
        Verdict.NO_GREETING: failed(Phase.GREETING, Failure.TIMED_OUT),
    }.get(verdict)
    if fault is not None:
        ran = tuple(timing for timing in PHASES if timing.phase in (Phase.RESOLVE, Phase.CONNECT))
        said = () if fault.phase is Phase.CONNECT else session.transcript[:1]
        session = replace(session, fault=fault, phases=ran, transcript=said, client=session.client)
    if verdict is Verdict.NO_GREETING:
        control = Control(kind=ControlKind.SILENT, worked=False, seconds=5.0, fault=fault)
        session = replace(session, controls=(control,))
        sign = Sign(sign=FaultSign.THROTTLED, client=None, source="file:/var/log/mail.log", at=opened, line=line)
        evidence = Evidence(signs=(sign,))
    if verdict is Verdict.UNVERIFIED:
        down = "http://loki:3100 cannot be reached (Connection refused): check `url` and the network"
        reasons = (f"loki:http://loki:3100 is not up ({down})",)
        evidence = Evidence(reasons=reasons, to_mend=(down,))
    judgement = replace(judge(session, evidence, NETWORKS), cause=cause)
    assert judgement.verdict is verdict
    return Result(session=session, evidence=evidence, judgement=judgement)


def story(station: Scripted, *happened: tuple[float, Verdict], every: float = 600.0, only: str = "") -> None:
    """Tell the ledger of a day: from so many hours ago each verdict, until the next; of endpoints like `only`."""
    now = station.clock()
    for name in station.ledger.accounts:
        if not str(name).startswith(only):
            continue
        begun = [(now - hours * HOUR, verdict) for hours, verdict in happened]
        for (start, verdict), end in zip(begun, [*(start for start, _ in begun[1:]), now], strict=True):
            opened = start
            while opened < end:
                station.ledger.record(session_of(name, opened, verdict, cause=CAUSES.get(verdict)))
                opened += every


CAUSES = {
    Verdict.SILENT_DROP: "10.0.20.202 is announced by k8s-node2, which has no local endpoint.",
    Verdict.MASKED: "The Service's externalTrafficPolicy is Cluster, so every node masks its clients.",
}
