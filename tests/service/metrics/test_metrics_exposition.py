"""Metrics as text: both forms read by the programs that read them, and the choice between them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web
from prometheus_client import CollectorRegistry, Metric, generate_latest, parser
from prometheus_client.openmetrics import exposition as openmetrics_exposition
from prometheus_client.openmetrics import parser as openmetrics_parser

from probe.evidence.health import Heard
from probe.model import Announcer, Endpoint, Known, MaskedBy, Node, Origin, Phase, PhaseTiming, Round, Topology, Verdict
from probe.service.metrics import exposition, probe_registry, station_registry
from probe.service.metrics.exposition import OPENMETRICS, PLAIN
from tests.builders import OURS, result
from tests.service.metrics.programs import running, serving, until
from tests.service.metrics.stand_in import IMAPS, SMTP, lint, stand_in

ODD = 'a "path" with \\ and\nnewline, ümläut'
Reader = Callable[[str], Iterable[Metric]]
read_plain: Reader = parser.text_string_to_metric_families
read_openmetrics: Reader = openmetrics_parser.text_string_to_metric_families

PHASES = (PhaseTiming(phase=Phase.CONNECT, seconds=0.002), PhaseTiming(phase=Phase.GREETING, seconds=0.2))
OF_PROMETHEUS = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)


@pytest.fixture(params=["full", "at first", "one request"])
def registry(request: pytest.FixtureRequest, tmp_path: Path) -> CollectorRegistry:
    return {"full": full, "at first": at_first, "one request": one_request}[request.param](tmp_path)


def full(folder: Path) -> CollectorRegistry:
    """Of a station in which every metric has a sample."""
    odd = Endpoint(path=ODD, service=SMTP.service, host="h", port=25)
    counted = (2, *[0] * 10, 1)
    station = stand_in(
        folder,
        [SMTP, IMAPS, odd],
        sources=(
            Heard(
                source="file:/log", up=True, lines=3, last_line_at=5.0, counted=counted, late_in_all=1e9, offset=0.25
            ),
        ),
        logins=12.0,
        clients={"node": 2},
        topology=Topology(
            taken=5.0,
            nodes=(Node(name="k8s-node1", local_endpoints=Known(1, Origin.HEALTH_CHECK, 5.0)),),
            announcers={OURS.address: (Known((Announcer("k8s-node1"),), Origin.NEIGHBOURS, 5.0),)},
        ),
    )
    for number, seconds in enumerate((0.0001, 0.3, 77.0)):
        opened = 1.8e9 + number * 100
        changes: dict[str, Any] = {
            "opened": opened,
            "closed": opened + seconds,
            "phases": PHASES,
            "certificate_expiry": 2e9,
        }
        station.ledger.record(result(Verdict.MASKED, masked_by=MaskedBy.NODE, id=f"{number:016x}", **changes))
        station.ledger.record(result(Verdict.PRESERVED, path=ODD, **changes))
    return station_registry(station)


def at_first(folder: Path) -> CollectorRegistry:
    return station_registry(stand_in(folder, [SMTP]))


def one_request(_: Path) -> CollectorRegistry:
    return probe_registry(Round(vantage="lan-probe", started=100.0, seconds=1.5, results=(result(phases=PHASES),)))


def test_openmetrics_is_what_its_parser_accepts(registry: CollectorRegistry) -> None:
    body, form = exposition(registry, OF_PROMETHEUS)
    assert form == OPENMETRICS
    told = {family.name: family for family in read_openmetrics(body.decode())}
    assert set(told) == {family.name for family in registry.collect()}


def test_plain_text_says_the_same_without_exemplars(registry: CollectorRegistry) -> None:
    body, form = exposition(registry, None)
    assert form == PLAIN
    plain = {s.name: s.value for family in read_plain(body.decode()) for s in family.samples}
    assert plain == {s.name: s.value for family in registry.collect() for s in family.samples}
    assert b" # {" not in body


def test_exemplars_name_session_and_moment(tmp_path: Path) -> None:
    body, _ = exposition(full(tmp_path), OF_PROMETHEUS)
    families = {family.name: family for family in read_openmetrics(body.decode())}
    of_one = [
        sample.exemplar
        for sample in families["mailprobe_session_duration_seconds"].samples
        if sample.exemplar and sample.labels["path"] == "vip"
    ]
    assert [one.labels for one in of_one] == [{"session_id": f"{number:016x}"} for number in range(3)]
    assert [one.value for one in of_one] == pytest.approx([0.0001, 0.3, 77.0], rel=1e-2)
    assert [float(one.timestamp or 0) for one in of_one] == [1.8e9 + 0.0001, 1.8e9 + 100.3, 1.8e9 + 277.0]


def test_promtool_has_nothing_to_say(registry: CollectorRegistry) -> None:
    body, _ = exposition(registry, None)
    assert lint(body) == ""


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        (OF_PROMETHEUS, OPENMETRICS),
        ("application/openmetrics-text", OPENMETRICS),
        ("Application/OpenMetrics-Text; Version=1.0.0; charset=utf-8; escaping=allow-utf-8", OPENMETRICS),
        ("text/plain;version=0.0.4,application/openmetrics-text", OPENMETRICS),
        ("text/plain;version=0.0.4;q=0.9,application/openmetrics-text;version=1.0.0;q=0.2", PLAIN),
        ("application/openmetrics-text;q=0", PLAIN),
        ("application/openmetrics-text;version=2.0.0", PLAIN),
        ("application/openmetrics-text;version=none", PLAIN),
        ("application/openmetrics-text;version=", OPENMETRICS),
        ("application/openmetrics-text;q=nan;=;;", OPENMETRICS),
        ("application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited", PLAIN),
        ("text/html,application/xhtml+xml,*/*;q=0.8", PLAIN),
        ("", PLAIN),
        (None, PLAIN),
        (";;;,,q=1" * 1000, PLAIN),
    ],
)
def test_whoever_asks_gets_the_form_that_is_preferred(tmp_path: Path, accept: str | None, form: str) -> None:
    body, told = exposition(at_first(tmp_path), accept)
    assert told == form
    assert body.endswith(b"# EOF\n") is (form == OPENMETRICS)


async def test_prometheus_itself_reads_openmetrics_with_exemplars(tmp_path: Path) -> None:
    """promtool reads plain text only."""
    asked: list[str] = []
    registry = full(tmp_path)

    async def metrics(request: web.BaseRequest) -> web.Response:
        body, form = exposition(registry, request.headers.get("Accept"))
        asked.append(form)
        return web.Response(body=body, headers={"Content-Type": form})

    async with serving(metrics) as target, prometheus(tmp_path, target.removeprefix("http://")) as api:
        query = {"query": 'sum by (verdict) (mailprobe_verdict{path="vip",service="smtp"})'}
        states = await until(f"{api}/query", query, lambda told: told["data"]["result"])
        assert {one["metric"]["verdict"]: one["value"][1] for one in states if one["value"][1] != "0"} == {
            "masked": "1"
        }
        assert len(states) == len(Verdict)
        [scraped] = await until(f"{api}/targets", {}, lambda told: told["data"]["activeTargets"])
        assert (scraped["health"], scraped["lastError"], set(asked)) == ("up", "", {OPENMETRICS})
        wanted = {"query": 'mailprobe_session_duration_seconds_bucket{path="vip"}', "start": "0", "end": "1900000000"}
        told = await until(f"{api}/query_exemplars", wanted, lambda told: told["data"])
        sessions = {one["labels"]["session_id"] for series in told for one in series["exemplars"]}
        assert sessions == {f"{number:016x}" for number in range(3)}


@asynccontextmanager
async def prometheus(folder: Path, target: str) -> AsyncIterator[str]:
    """Debian's, scraping this target every second; gives the URL of its API."""
    scraping = {"job_name": "mailprobe", "scrape_interval": "1s", "static_configs": [{"targets": [target]}]}
    file = folder / "prometheus.yml"
    file.write_text(yaml.safe_dump({"scrape_configs": [scraping]}))
    arguments = (
        f"--config.file={file}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        "--web.listen-address=127.0.0.1:{port}",
        "--enable-feature=exemplar-storage",
    )
    async with running("prometheus", "prometheus", *arguments, ready="/-/ready") as url:
        yield f"{url}/api/v1"


def test_the_text_is_prometheus_client_s_to_the_octet(registry: CollectorRegistry) -> None:
    library: Callable[[CollectorRegistry], bytes] = openmetrics_exposition.generate_latest
    assert exposition(registry, "text/plain")[0] == generate_latest(registry)
    assert exposition(registry, "application/openmetrics-text")[0] == library(registry)
