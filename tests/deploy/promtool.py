"""promtool and amtool: this machine's, and Debian 13's out of a folder of their own. And what they are given."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.case import Case
from tests.lab.generations import cache as lab_cache

REPOSITORY = Path(__file__).parents[2]
RULES = REPOSITORY / "deploy/prometheus/mailprobe.rules.yaml"
MAINTENANCE_RULES = RULES.with_name("maintenance.rules.yaml")
NEWER = "debian13"
GENERATIONS = ("host", NEWER)


def program(name: str, generation: str) -> str:
    """Where it is; a test is skipped where it is not, and says so."""
    found = shutil.which(name, path=str(lab_cache().parent / "prometheus/usr/bin") if generation == NEWER else None)
    if found is None:
        pytest.skip(f"no {name} of {generation}: run tests/lab/install.sh as root")
    return found


def run(*command: str) -> str:
    """What it says; an AssertionError if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@cache
def alerts(file: Path = RULES) -> tuple[Mapping[str, Any], ...]:
    """Every alerting rule of a file, in order."""
    groups = yaml.safe_load(file.read_text(encoding="utf-8"))["groups"]
    return tuple(rule for group in groups for rule in group["rules"] if "alert" in rule)


def labels_of(told: str) -> tuple[str, dict[str, str]]:
    """`Name{label="value"}` taken apart, its severity from the rules where it is not given."""
    name = told.partition("{")[0]
    labels = dict(re.findall(r'(\w+)="([^"]*)"', told))
    return name, {**rule(name, labels.get("severity")).get("labels", {}), **labels}


def rule(name: str, severity: str | None = None) -> Mapping[str, Any]:
    every = (*alerts(), *alerts(MAINTENANCE_RULES))
    return next(
        one for one in every if one["alert"] == name and severity in (None, one.get("labels", {}).get("severity"))
    )


def unit_tests(cases: Iterable[Case], *rules: Path, evaluated: int = 10) -> dict[str, Any]:
    """A file for `promtool test rules`. `evaluated`: seconds between evaluations of every group."""
    tests = [_test(case) for case in cases]
    return {"rule_files": [*map(str, rules)], "evaluation_interval": f"{evaluated}s", "tests": tests}


def _test(case: Case) -> dict[str, Any]:
    told = (vantage.series(case.scrape).items() for vantage in case.vantages)
    series = {**{name: values for one in told for name, values in one}, **case.series}
    return {
        "name": case.name,
        "interval": f"{case.scrape}s",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [_firing(at, fires) for at, fires in case.fires.items()],
        "alert_rule_test": [
            _told(at, name, fires)
            for at, fires in case.fires.items()
            for name in sorted({n.partition("{")[0] for n, says in fires.items() if says})
        ],
    }


def _worded(fires: Mapping[str, str]) -> list[str]:
    """Alerts all of whose summaries are given."""
    return sorted({told.partition("{")[0] for told, says in fires.items() if says})


def _firing(at: str, fires: Mapping[str, str]) -> dict[str, Any]:
    samples = []
    for told in fires:
        name, labels = labels_of(told)
        every = {"alertname": name, "alertstate": "firing", **labels}
        samples.append({"labels": "ALERTS{" + ",".join(f'{k}="{v}"' for k, v in every.items()) + "}", "value": 1})
    return {"expr": 'ALERTS{alertstate="firing"}', "eval_time": at, "exp_samples": samples}


def _told(at: str, name: str, fires: Mapping[str, str]) -> dict[str, Any]:
    expected = []
    for told, says in fires.items():
        own, labels = labels_of(told)
        if own == name:
            annotations = {**rule(name, labels.get("severity"))["annotations"], "summary": says}
            expected.append({"exp_labels": labels, "exp_annotations": annotations})
    return {"alertname": name, "eval_time": at, "exp_alerts": expected}
