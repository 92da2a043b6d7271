"""What Prometheus scrapes of a vantage whose sessions go as a script says: `preserved 10m, silent_drop 3m`.

Rule 1: the numbers are the daemon's own: sessions go into its ledger, and its metrics are filled from that.
Rule 2: a session every INTERVAL, a scrape every SCRAPE; both begin at 0 s.
Rule 3: besides verdicts a script knows `unable` (unverified, for the vantage could not open a session), `hung` (no
        sessions), `gone` (nothing to scrape, and afterwards a new process that knows the old one's verdicts), `removed`
        (out of the configuration, while the vantage lives on), `unanswered` (a scrape of /probe that fails) and
        `unfinished` (one that is over before the session).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from probe.model import Endpoint, Failure, MaskedBy, Pace, Phase, Service, Severity, Verdict
from probe.service.ledger import Ledger, Restored
from probe.service.metrics import fill
from probe.service.metrics.catalogue import METRICS
from probe.service.metrics.page import Page
from probe.service.metrics.standing import standings
from tests.builders import failed, result

SCRAPE, INTERVAL = 10, 30
PACE = Pace(due=INTERVAL * 1.1 + 45, lapse=INTERVAL * 3.1 + 45)
"""That of the default schedule and timeouts."""

ROUND = ("mailprobe_verdict", "mailprobe_masked_by", "mailprobe_up", "mailprobe_last_session_timestamp_seconds")
BUILD, RELOAD = ("mailprobe_build_info",), ("mailprobe_config_last_reload_successful",)
COUNTED = ("mailprobe_sessions_total", "mailprobe_outage_seconds_total", "mailprobe_session_duration_seconds")
NOT_THERE, NO_SAMPLE = "stale", "_"
NO_SESSION, NO_SCRAPE = ("hung", "unanswered", "unfinished"), ("gone", "unanswered")
UNITS = {"s": 1, "m": 60, "h": 3600}


def seconds(text: str) -> int:
    """`90s`, `5m`, `1h`."""
    return int(text[:-1]) * UNITS[text[-1]]


def words(script: str) -> list[str]:
    """The word that holds at each scrape."""
    parts = re.findall(r"(\w+) (\d+[smh])", script)
    return [word for word, lasts in parts for _ in range(seconds(lasts) // SCRAPE)]


@dataclass(kw_only=True)
class Vantage:
    """One daemon. `scripts` by `path/service`; `counts` False: single rounds, scraped from elsewhere.

    `target`: who is asked for rounds, by scrapes of /probe; then Prometheus tells whether it was `up`.
    """

    name: str
    scripts: Mapping[str, str]
    masked_by: MaskedBy = MaskedBy.NODE
    counts: bool = True
    target: str = ""
    _samples: dict[str, dict[int, float]] = field(default_factory=dict)

    def series(self) -> dict[str, str]:
        """promtool's notation of every series."""
        told = {name: words(script) for name, script in self.scripts.items()}
        length = max(map(len, told.values()))
        restored = Restored()
        ledger: Ledger | None = None
        for step in range(length):
            now = {_endpoint(name): at[step] for name, at in told.items() if step < len(at)}
            if self.target:
                self._note(step, "up", {}, float(not {*now.values()} & {*NO_SCRAPE}))
            if "gone" in now.values():
                restored, ledger = ledger.known if ledger else restored, None
                continue
            there = [endpoint for endpoint, word in now.items() if word != "removed"]
            if ledger is None:
                ledger = Ledger(there, restored)
            ledger.configure(there)
            if step * SCRAPE % INTERVAL == 0:
                self._sessions(ledger, {endpoint: now[endpoint] for endpoint in there}, step * SCRAPE)
            if "unanswered" not in now.values():
                self._scrape(ledger, step, in_time="unfinished" not in now.values())
        return {name: " ".join(_noted(values, length)) for name, values in self._samples.items()}

    def _sessions(self, ledger: Ledger, now: Mapping[Endpoint, str], at: float) -> None:
        for endpoint, word in now.items():
            if word in NO_SESSION:
                continue
            verdict = Verdict.UNVERIFIED if word == "unable" else Verdict(word)
            worked = word in ("preserved", "masked", "unverified", "spoofable")
            ledger.record(
                result(
                    verdict,
                    masked_by=self.masked_by if verdict is Verdict.MASKED else None,
                    opened=at,
                    path=endpoint.path,
                    service=endpoint.service,
                    port=endpoint.port,
                    fault=None
                    if worked
                    else failed(Phase.CONNECT, Failure.VANTAGE if word == "unable" else Failure.TIMED_OUT),
                )
            )

    def _scrape(self, ledger: Ledger, step: int, *, in_time: bool) -> None:
        if self.target:
            for name in ledger.accounts:
                labels = {"path": name.path, "service": name.service, "vantage": self.name}
                self._note(step, "mailprobe_unfinished", labels, float(not in_time))
        for name in (*BUILD, *(RELOAD if self.counts else ())):
            self._note(step, name, {"vantage": self.name}, 1)
        if in_time:
            self._tell(ledger, step)

    def _tell(self, ledger: Ledger, step: int) -> None:
        page = Page(self.name, [METRICS[name] for name in (*ROUND, *(COUNTED if self.counts else ()))])
        fill.endpoints(page, standings(ledger.accounts.values(), step * SCRAPE), lambda moment: moment)
        for sample in (sample for family in page.families() for sample in family.samples):
            if not sample.name.endswith(("_bucket", "_sum")):
                self._note(step, sample.name, sample.labels, sample.value)

    def _note(self, step: int, name: str, labels: Mapping[str, str], value: float) -> None:
        if self.target:
            labels = {**labels, "job": "mailprobe", "instance": self.target}
        told = ",".join(f'{label}="{text}"' for label, text in sorted(labels.items()))
        self._samples.setdefault(f"{name}{{{told}}}", {})[step] = value


def _endpoint(name: str) -> Endpoint:
    path, _, service = name.partition("/")
    return Endpoint(path=path, service=Service(service), host="10.0.20.202", port=25, pace=PACE)


def _noted(values: Mapping[int, float], length: int) -> Iterator[str]:
    there = False
    for step in range(length):
        value = values.get(step)
        yield f"{value:g}" if value is not None else NOT_THERE if there else NO_SAMPLE
        there = value is not None


CRITICAL = tuple(verdict for verdict in Verdict if verdict.severity is Severity.CRITICAL)
