"""Prometheus itself: its promtool on web-config files, and a server that scrapes by certificate and password."""

from __future__ import annotations

import asyncio
import json
import re
from asyncio.subprocess import DEVNULL
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from probe.model import EndpointName, Verdict
from probe.service.station import Asked
from probe.service.survey import BOUND
from probe.service.web.probe_endpoint import MARGIN
from probe.sessions.control import CONTROL_SECONDS
from probe.settings.parts import TimeoutSettings
from tests.service.metrics.programs import running
from tests.service.metrics.stand_in import program
from tests.service.web.serving import serving
from tests.service.web.stage import BEGAN, session_of
from tests.service.web.test_web_config import AUTHORITY, BAD, STRANGER, TLS, certified, hashed, with_web

REPOSITORY = Path(__file__).parents[3]
OURS = "mailprobe_verdict"

STRICTER = {"versions"}
"""What only we refuse: a TLS version range without a version in it."""

GOOD = TLS.replace("}", ", client_auth_type: RequireAndVerifyClientCert, client_ca_file: ca.pem}") + (
    "http_server_config: {headers: {X-Frame-Options: deny}}\n"
    f"basic_auth_users: {{prometheus: '{hashed('secret')}'}}\n"
)


async def takes(file: Path) -> bool:
    command = (program("promtool", "prometheus"), "check", "web-config", str(file))
    tool = await asyncio.create_subprocess_exec(*command, stdout=DEVNULL, stderr=DEVNULL)
    return await tool.wait() == 0


async def test_promtool_takes_what_we_take_and_refuses_what_we_refuse(tmp_path: Path) -> None:
    certified(tmp_path)
    STRANGER.issue_cert("x").private_key_pem.write_to_path(tmp_path / "other.key")
    for file in BAD:
        copy = tmp_path / file.name
        copy.write_bytes(file.read_bytes())
        assert await takes(copy) is (file.stem in STRICTER), file.stem
    async with serving(with_web(tmp_path, GOOD), scheme="https"):
        assert await takes(tmp_path / "web.yaml")


@pytest.mark.parametrize("name", ["docs/http.md", "deploy/prometheus/prometheus.example.yaml"])
async def test_scrapes_of_the_documents_wait_for_a_session_that_fails(tmp_path: Path, name: str) -> None:
    text = (REPOSITORY / name).read_text(encoding="utf-8")
    lines = re.findall(r"^  #?(- job_name: mailprobe-probe\n(?:  #?  .*\n)+)", text, re.M)[0]
    (job,) = yaml.safe_load("  " + re.sub(r"^  #", "  ", lines, flags=re.M))
    file = tmp_path / "prometheus.yaml"
    file.write_text(yaml.safe_dump({"scrape_configs": [job]}))
    tool = await asyncio.create_subprocess_exec(
        program("promtool", "prometheus"), "check", "config", str(file), stdout=DEVNULL
    )
    assert await tool.wait() == 0
    waits = float(job["scrape_timeout"].removesuffix("m")) * 60
    assert waits >= TimeoutSettings().session + 2 * CONTROL_SECONDS + BOUND + MARGIN


def scraping(port: int) -> Mapping[str, Any]:
    """Scrapes the metrics and a probe, as docs/http.md has it."""
    common = {
        "scheme": "https",
        "tls_config": {"ca_file": "ca.pem", "cert_file": "client.pem", "key_file": "client.key"},
        "basic_auth": {"username": "prometheus", "password": "secret"},
        "scrape_interval": "1s",
        "scrape_timeout": "1s",
    }
    relabelled = [
        {"source_labels": ["__address__"], "target_label": "__param_target"},
        {"source_labels": ["__param_target"], "target_label": "instance"},
        {"target_label": "__address__", "replacement": f"127.0.0.1:{port}"},
    ]
    return {
        "scrape_configs": [
            {"job_name": "daemon", "static_configs": [{"targets": [f"127.0.0.1:{port}"]}], **common},
            {
                "job_name": "probe",
                "metrics_path": "/probe",
                "params": {"module": ["smtp"]},
                "static_configs": [{"targets": ["10.0.20.202:25", "192.0.2.1:25"]}],
                "relabel_configs": relabelled,
                **common,
            },
        ]
    }


async def asked(session: aiohttp.ClientSession, base: str, query: str) -> dict[str, float]:
    """The answer to a query, by instance."""
    async with session.get(f"{base}/api/v1/query", params={"query": query}) as answer:
        found = json.loads(await answer.text())["data"]["result"]
    return {one["metric"]["instance"]: float(one["value"][1]) for one in found}


async def until(session: aiohttp.ClientSession, base: str, query: str, expected: Mapping[str, float]) -> None:
    """Wait until a query is answered so."""
    found: dict[str, float] = {}
    try:
        async with asyncio.timeout(60):
            while found != expected:
                await asyncio.sleep(0.2)
                found = await asked(session, base, query)
    except TimeoutError:
        raise AssertionError(f"{query}: {found}, expected {expected}") from None


@pytest.mark.xdist_group("prometheus")
async def test_a_real_prometheus_scrapes_and_probes(tmp_path: Path) -> None:
    certified(tmp_path)
    own = AUTHORITY.issue_cert("prometheus.example.org")
    own.private_key_pem.write_to_path(tmp_path / "client.key")
    for index, one in enumerate(own.cert_chain_pems):
        one.write_to_path(tmp_path / "client.pem", append=index > 0)
    station = with_web(tmp_path, GOOD)
    station.ledger.record(session_of(next(iter(station.ledger.accounts)), BEGAN - 5))

    async def answer(name: EndpointName, seconds: float) -> Asked:
        assert seconds == pytest.approx(0.8)
        return Asked(result=session_of(name, station.clock(), Verdict.MASKED))

    station.answers = answer
    async with serving(station, scheme="https") as client, aiohttp.ClientSession() as session:
        file = tmp_path / "prometheus.yml"
        file.write_text(yaml.safe_dump(scraping(client.address[1])))
        storage, listen = f"--storage.tsdb.path={tmp_path / 'tsdb'}", "--web.listen-address=127.0.0.1:{port}"
        own_name = f"127.0.0.1:{client.address[1]}"
        probed = "10.0.20.202:25"
        arguments = (f"--config.file={file}", storage, listen)
        async with running("prometheus", "prometheus", *arguments, ready="/-/ready") as base:
            await until(session, base, "up", {own_name: 1, probed: 1, "192.0.2.1:25": 0})
            await until(session, base, "probe_success", {probed: 1})
            await until(session, base, f"{OURS}{{job='daemon',verdict='preserved'}} == 1", {own_name: 1})
            await until(session, base, f"{OURS}{{job='probe',verdict='masked'}}", {probed: 1})
