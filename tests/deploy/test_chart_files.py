"""Rules and dashboard of the chart are the repository's own files: links that Helm follows, in clone and package."""

from __future__ import annotations

import json
import shutil
import tarfile
from pathlib import Path

import helm_python
import pytest
import yaml

from tests.deploy.chart import CHART, REPOSITORY, refusal, render, rendered, values_of

RULES = REPOSITORY / "deploy/prometheus/mailprobe.rules.yaml"
DASHBOARD = REPOSITORY / "dashboards/mailprobe.json"
MAINTENANCE = RULES.with_name("maintenance.rules.yaml")
LINKS = {CHART / f"files/{file.name}": file for file in (RULES, MAINTENANCE, DASHBOARD)}
FILED = ("prometheusRule", "maintenanceRule", "dashboard")
"""Values that want one of these files."""
BRACES = '{{ $labels.path }} {{ printf "%s" $value }} `{{ "{{" }}`'


def copied(to: Path, *, rules: str | None, dashboard: str | None) -> helm_python.Chart:
    """The chart with other files in it, or without."""
    shutil.copytree(CHART, to, ignore=shutil.ignore_patterns("files"))
    (to / "files").mkdir()
    for name, text in (("mailprobe.rules.yaml", rules), ("mailprobe.json", dashboard)):
        if text is not None:
            (to / "files" / name).write_text(text, encoding="utf-8")
    return helm_python.Chart.load(to)


def test_they_are_links_to_the_files_and_no_copies() -> None:
    for link, file in LINKS.items():
        assert link.is_symlink()
        assert link.resolve() == file


def test_they_are_rendered_as_they_are() -> None:
    told = rendered("outside")
    assert told.one("PrometheusRule")["spec"] == yaml.safe_load(RULES.read_text(encoding="utf-8"))
    (dashboard,) = (one for one in told.of("ConfigMap") if one["metadata"]["name"] == "mailprobe-dashboard")
    assert dashboard["data"] == {"mailprobe.json": DASHBOARD.read_text(encoding="utf-8")}
    assert dashboard["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert json.loads(dashboard["data"]["mailprobe.json"])


def test_they_go_where_prometheus_is_also_without_the_probe() -> None:
    """In the mail server's cluster, while the probe stands elsewhere; also where nothing of that cluster is read."""
    wanted = {"accountOnly": True, "maintenanceRule": {"enabled": True}, "serviceMonitor": {"enabled": False}}
    told = render(values_of("outside") | wanted)
    assert told.of("PrometheusRule")[0] == rendered("outside").one("PrometheusRule")
    assert {one["metadata"]["name"] for one in told.of("PrometheusRule")} == {"mailprobe", "mailprobe-maintenance"}
    assert [one["metadata"]["name"] for one in told.of("ConfigMap")] == ["mailprobe-dashboard"]
    assert told.of("ServiceMonitor") == told.of("Deployment") == told.of("Service") == []
    assert "create token" in told.notes
    assert "The scrape is yours to add" in told.notes
    assert "MailprobeAbsent pages" in told.notes
    without_rights = render(values_of("outside") | wanted | {"rbac": {"create": False}})
    assert "docs/kubernetes.md has them. Its kubeconfig" in without_rights.notes
    alone = render(values_of("minimal") | wanted)
    assert {one["kind"] for one in alone.manifests} == {"PrometheusRule"}
    assert "create token" not in alone.notes
    assert "config.topology is empty" in alone.notes


def test_a_cordon_announces_its_drain_where_that_is_wanted() -> None:
    more = {"maintenanceRule": {"enabled": True, "labels": {"release": "prometheus"}}}
    told = {one["metadata"]["name"]: one for one in render(values_of("outside") | more).of("PrometheusRule")}
    assert told.keys() == {"mailprobe", "mailprobe-maintenance"}
    rule = told["mailprobe-maintenance"]
    assert rule["spec"] == yaml.safe_load(MAINTENANCE.read_text(encoding="utf-8"))
    assert rule["metadata"]["labels"]["release"] == "prometheus"


def test_braces_of_prometheus_and_grafana_are_not_helm_s(tmp_path: Path) -> None:
    rules = {"groups": [{"name": "g", "rules": [{"alert": "A", "expr": "1", "annotations": {"summary": BRACES}}]}]}
    board = json.dumps({"title": BRACES, "text": "line\nline\ttab  ", "ü": "</script>"}, indent=1)
    told = render(values_of("outside"), of=copied(tmp_path / "chart", rules=yaml.safe_dump(rules), dashboard=board))
    assert told.one("PrometheusRule")["spec"] == rules
    assert board in [text for one in told.of("ConfigMap") for text in one["data"].values()]


def test_a_package_holds_the_files_themselves(tmp_path: Path) -> None:
    archive = helm_python.package(CHART, destination=tmp_path)
    with tarfile.open(archive) as opened:
        held = {member.name: member for member in opened}
        for link, file in LINKS.items():
            member = held[f"mailprobe/files/{link.name}"]
            assert member.isfile()
            assert opened.extractfile(member).read() == file.read_bytes()  # type: ignore[union-attr]
    assert render(values_of("outside"), of=helm_python.Chart.load(archive)) == rendered("outside")


@pytest.mark.parametrize("left", [None, "../../../prometheus/mailprobe.rules.yaml"], ids=["dropped", "as a text"])
def test_links_that_a_download_has_lost_are_told(left: str | None, tmp_path: Path) -> None:
    values = values_of("outside") | {"maintenanceRule": {"enabled": True}}
    said = refusal(values, of=copied(tmp_path / "chart", rules=left, dashboard=left))
    for name in FILED:
        assert f"{name}.enabled is true, and this copy of the chart lacks files/" in said


def test_who_wants_neither_needs_neither(tmp_path: Path) -> None:
    values = values_of("outside") | {"prometheusRule": {"enabled": False}, "dashboard": {"enabled": False}}
    assert render(values, of=copied(tmp_path / "chart", rules=None, dashboard=None)).of("PrometheusRule") == []
