"""The contract, the catalogue, the collector and docs/metrics.md have the same metrics; examples are PromQL."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from probe.service.metrics import station_registry
from probe.service.metrics.catalogue import CATALOGUE, METRICS, OF_A_ROUND, VANTAGE
from probe.service.metrics.collector import Snapshot, StationCollector
from tests.service.metrics.stand_in import SMTP, program, stand_in
from tests.service.metrics.test_metrics_exposition import full

CONTRACT = """
mailprobe_verdict gauge path service verdict
mailprobe_sessions_total counter path service verdict
mailprobe_client_address_preserved gauge path service
mailprobe_phase_duration_seconds histogram path service phase
mailprobe_session_duration_seconds histogram path service
mailprobe_up gauge path service
mailprobe_last_session_timestamp_seconds gauge path service
mailprobe_masked_by gauge path service network
mailprobe_outage_seconds_total counter path service
mailprobe_tls_certificate_expiry_timestamp_seconds gauge path service
mailprobe_evidence_source_up gauge source
mailprobe_evidence_lines_total counter source
mailprobe_evidence_last_line_timestamp_seconds gauge source
mailprobe_evidence_lag_seconds histogram source
mailprobe_clients_total counter network
mailprobe_node_local_endpoints gauge node
mailprobe_announcer_info info node
mailprobe_dovecot_logins_total counter
mailprobe_config_last_reload_successful gauge
mailprobe_build_info info version
"""
"""What others rely on: name, type and labels of each metric, beside `vantage`. None is renamed."""

OURS = "mailprobe_evidence_clock_offset_seconds gauge source\n"
"""Beside the contract's."""

PAGE = (Path(__file__).parents[3] / "docs" / "metrics.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```promql\n(.*?)^```", PAGE, re.M | re.S)


def test_the_catalogue_is_the_contract_and_ours() -> None:
    promised = {
        name: (kind, tuple(labels)) for name, kind, *labels in map(str.split, (CONTRACT + OURS).strip().splitlines())
    }
    assert {metric.name: (metric.kind.value, metric.labels) for metric in CATALOGUE} == promised


def test_every_sample_has_the_labels_of_the_catalogue(tmp_path: Path) -> None:
    found = {}
    for family in full(tmp_path).collect():
        name = next(known for known in (family.name, f"{family.name}_total", f"{family.name}_info") if known in METRICS)
        found[name] = (family.type, {tuple(label for label in s.labels if label != "le") for s in family.samples})
    assert found == {metric.name: (metric.kind, {(VANTAGE, *metric.labels)}) for metric in CATALOGUE}


def test_every_metric_is_named_from_the_first_scrape_on(tmp_path: Path) -> None:
    station = stand_in(tmp_path, [SMTP])
    described = StationCollector(lambda: Snapshot.of(station)).describe()
    first = [(family.name, family.type, family.documentation) for family in station_registry(station).collect()]
    assert [(family.name, family.type, family.documentation) for family in described] == first
    assert len(first) == len(CATALOGUE)


def test_the_document_has_the_catalogue() -> None:
    rows = re.findall(r"^\| `(mailprobe_\w+)` \| (\w+) \| (.*) \| (.*) \| (yes|–) \|$", PAGE, re.M)
    assert [
        (name, kind, tuple(re.findall(r"`(\w+)`", labels)), meaning, of) for name, kind, labels, meaning, of in rows
    ] == [
        (metric.name, metric.kind.value, metric.labels, metric.meaning, "yes" if metric in OF_A_ROUND else "–")
        for metric in CATALOGUE
    ]


def test_examples_are_promql(tmp_path: Path) -> None:
    rules = [{"record": f"example:{number}", "expr": expr} for number, expr in enumerate(EXAMPLES)]
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "examples", "rules": rules}]}))
    command = [program("promtool", "prometheus"), "check", "rules", "--lint-fatal", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(EXAMPLES)} rules found" in done.stdout


@pytest.mark.parametrize("example", EXAMPLES)
def test_examples_name_metrics_and_labels_that_are(example: str) -> None:
    for name, matchers in re.findall(r"(mailprobe_\w+)(?:\{([^}]*)\})?", example):
        base = re.sub(r"_(bucket|sum|count)$", "", name)
        metric = METRICS.get(name) or METRICS[base]
        assert {*re.findall(r"(\w+)[=!]", matchers)} <= {*metric.labels}
