"""What Prometheus scrapes of a vantage whose sessions go as a script says: `preserved 10m, silent_drop 3m`.

Rule 1: the numbers are the daemon's own: sessions go into its ledger, and its metrics are filled from that.
Rule 2: a session every INTERVAL, a scrape every SCRAPE, or as a story says; both begin at 0 s.
Rule 3: besides verdicts a script knows `unable` (unverified, for the vantage could not open a session), `hung` (no
        sessions), `gone` (nothing to scrape, and afterwards a new process that knows the old one's verdicts), `removed`
        (out of the configuration, while the vantage lives on), `unanswered` (a scrape of /probe that fails) and
        `unfinished` (one that is over before the session).
Rule 4: what interrupts comes by chance, and by a seed always the same: scrapes that fail (`misses`), restarts (`away`).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

from probe.model import Endpoint, Failure, MaskedBy, Pace, Phase, Service, Severity, Verdict
from probe.service.ledger import Ledger, Restored
from probe.service.metrics import fill
from probe.service.metrics.catalogue import METRICS
from probe.service.metrics.page import Page
from probe.service.metrics.standing import standings
from tests.builders import failed, result

SCRAPE, INTERVAL = 10, 30
TICK = 10
"""Seconds that each word of a script lasts, or several of them."""

ROUND = ("mailprobe_verdict", "mailprobe_masked_by", "mailprobe_up", "mailprobe_last_session_timestamp_seconds")
BUILD, RELOAD = ("mailprobe_build_info",), ("mailprobe_config_last_reload_successful",)
COUNTED = ("mailprobe_sessions_total", "mailprobe_outage_seconds_total", "mailprobe_session_duration_seconds")
NOT_THERE, NO_SAMPLE = "stale", "_"
NO_SESSION, NO_SCRAPE = ("hung", "unanswered", "unfinished", "gone", "removed"), ("gone", "unanswered")
UNITS = {"s": 1, "m": 60, "h": 3600}


def seconds(text: str) -> int:
    """`90s`, `5m`, `1h`."""
    return int(text[:-1]) * UNITS[text[-1]]


def words(script: str) -> list[str]:
    """The word that holds in each TICK."""
    parts = re.findall(r"(\w+) (\d+[smh])", script)
    return [word for word, lasts in parts for _ in range(seconds(lasts) // TICK)]


def by_chance(seed: int, lasts: str, *, every: str, each: int = 1) -> frozenset[int]:
    """Scrapes at random: once in `every` on average, `each` of them in a row."""
    chance, random = SCRAPE / seconds(every), Random(seed)
    first = [step for step in range(seconds(lasts) // SCRAPE) if random.random() < chance]
    return frozenset(step + more for step in first for more in range(each))


@dataclass(kw_only=True)
class Vantage:
    """One daemon. `scripts` by `path/service` or `path/service:port`; `counts` False: single rounds, scraped elsewhere.

    `target`: who is asked for rounds, by scrapes of /probe; of rounds that are pushed or written to a file Prometheus
    asks somebody else. `misses`: scrapes that fail; `away`: those at which there is no process. `takes`: seconds until
    a session is judged, by its word. `clock`: when its clock is set, and by how many seconds. `has_pods`: each process
    has an address of its own.
    """

    name: str
    scripts: Mapping[str, str]
    masked_by: MaskedBy = MaskedBy.NODE
    counts: bool = True
    target: str = ""
    interval: int = INTERVAL
    takes: Mapping[str, int] = field(default_factory=dict)
    misses: Collection[int] = ()
    away: Collection[int] = ()
    clock: tuple[int, int] = (0, 0)
    has_pods: bool = False
    _processes: int = 0
    _samples: dict[str, dict[int, float]] = field(default_factory=dict)

    def series(self, scrape: int = SCRAPE) -> dict[str, str]:
        """promtool's notation of every series, scraped each so many seconds."""
        told = {self._endpoint(name): words(script) for name, script in self.scripts.items()}
        moments = range(0, max(map(len, told.values())) * TICK, scrape)
        restored = Restored()
        ledger: Ledger | None = None
        for step, moment in enumerate(moments):
            now = {endpoint: at[moment // TICK] for endpoint, at in told.items() if moment // TICK < len(at)}
            is_there = "gone" not in now.values() and step not in self.away
            is_answered = is_there and step not in self.misses and "unanswered" not in now.values()
            if self.target or self.counts:
                self._note(step, "up", {}, float(is_answered and "unfinished" not in now.values()))
            if not is_there:
                restored, ledger = ledger.known if ledger else restored, None
                continue
            there = [endpoint for endpoint, word in now.items() if word != "removed"]
            if ledger is None:
                ledger = Ledger(there, restored)
                self._processes += 1
            ledger.configure(there)
            for endpoint in there:
                self._sessions(ledger, endpoint, told[endpoint], range(moment - scrape + 1, moment + 1))
            if is_answered:
                self._scrape(ledger, step, moment, in_time="unfinished" not in now.values())
        return {name: " ".join(_noted(values, len(moments))) for name, values in self._samples.items()}

    def _endpoint(self, name: str) -> Endpoint:
        path, _, ending = name.partition("/")
        service, _, port = ending.partition(":")
        pace = Pace(due=self.interval * 1.1 + 45, lapse=self.interval * 3.1 + 68)
        return Endpoint(path=path, service=Service(service), host="10.0.20.202", port=int(port or 25), pace=pace)

    def _sessions(self, ledger: Ledger, endpoint: Endpoint, told: Sequence[str], judged: range) -> None:
        """Those that are judged within these seconds."""
        for opened in range(0, judged.stop, self.interval):
            word = told[opened // TICK]
            if word not in NO_SESSION and opened + self.takes.get(word, 0) in judged:
                self._record(ledger, endpoint, word, opened)

    def _record(self, ledger: Ledger, endpoint: Endpoint, word: str, opened: float) -> None:
        verdict = Verdict.UNVERIFIED if word == "unable" else Verdict(word)
        reason = Failure.VANTAGE if word == "unable" else Failure.TIMED_OUT
        worked = word in ("preserved", "masked", "unverified", "spoofable")
        ledger.record(
            result(
                verdict,
                masked_by=self.masked_by if verdict is Verdict.MASKED else None,
                opened=opened,
                path=endpoint.path,
                service=endpoint.service,
                port=endpoint.port,
                fault=None if worked else failed(Phase.CONNECT, reason),
            )
        )

    def _scrape(self, ledger: Ledger, step: int, moment: float, *, in_time: bool) -> None:
        if self.target:
            for name in ledger.accounts:
                labels = {"path": name.path, "service": name.service, "vantage": self.name}
                self._note(step, "mailprobe_unfinished", labels, float(not in_time))
        for name in (*BUILD, *(RELOAD if self.counts else ())):
            self._note(step, name, {"vantage": self.name}, 1)
        if in_time:
            self._tell(ledger, step, moment)

    def _tell(self, ledger: Ledger, step: int, moment: float) -> None:
        page = Page(self.name, [METRICS[name] for name in (*ROUND, *(COUNTED if self.counts else ()))])
        set_at, by = self.clock
        fill.endpoints(page, standings(ledger.accounts.values(), moment), lambda at: at + by * (moment >= set_at))
        for sample in (sample for family in page.families() for sample in family.samples):
            if not sample.name.endswith(("_bucket", "_sum")):
                self._note(step, sample.name, sample.labels, sample.value)

    def _note(self, step: int, name: str, labels: Mapping[str, str], value: float) -> None:
        host = f"{self.name}-{self._processes}" if self.has_pods else self.name
        labels = {**labels, "job": "mailprobe", "instance": self.target or f"{host}:9797"}
        told = ",".join(f'{label}="{text}"' for label, text in sorted(labels.items()))
        self._samples.setdefault(f"{name}{{{told}}}", {})[step] = value


def _noted(values: Mapping[int, float], length: int) -> Iterator[str]:
    there = False
    for step in range(length):
        value = values.get(step)
        yield f"{value:g}" if value is not None else NOT_THERE if there else NO_SAMPLE
        there = value is not None


CRITICAL = tuple(verdict for verdict in Verdict if verdict.severity is Severity.CRITICAL)
