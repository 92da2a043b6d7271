"""Values that contradict each other stop the rendering with a sentence, all at once."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.chart import CHART, merged, refusal, render, values_of

CASES = yaml.safe_load((Path(__file__).parent / "contradictions.yaml").read_text(encoding="utf-8"))
MINIMAL = values_of("minimal")
TEMPLATE = (CHART / "templates/_contradictions.tpl").read_text(encoding="utf-8")
LOST_FILES = 1
"""Sentences that need a damaged chart: test_chart_files.py has it."""


def sentences(said: str) -> list[str]:
    """What Helm says, without where in which template."""
    head, _, listed = said.partition("the values contradict each other:\n")
    assert "checks.yaml" in head
    return [line.removeprefix("- ") for line in listed.splitlines()]


def said_of(case: dict[str, Any]) -> str:
    values = case["values"] if case.get("alone") else merged(MINIMAL, case["values"])
    return refusal(values, release=case.get("release", "mailprobe"))


@pytest.mark.parametrize("name", CASES)
def test_a_contradiction_is_one_sentence_that_says_what_to_do(name: str) -> None:
    case = CASES[name]
    (said,) = sentences(said_of(case))
    assert case["says"] in said
    assert said.endswith(".")
    assert "<no value>" not in said
    assert "%!" not in said
    assert "hunter2" not in said


def test_a_daemon_that_leaves_the_pace_to_prometheus_may_be_seldom_itself() -> None:
    change = {"prometheusRule": {"enabled": True}, "config": {"schedule": {"interval": "1h"}}}
    assert len(sentences(refusal(merged(MINIMAL, change)))) == 1
    assert render(merged(MINIMAL, merged(change, {"probeResources": {"enabled": True}}))).manifests


@pytest.mark.parametrize("place", [{"hostNetwork": True}, {"podAnnotations": {"k8s.v1.cni.cncf.io/networks": "lan"}}])
def test_a_source_address_stands_where_the_pod_may_have_it(place: dict[str, Any]) -> None:
    path = {"name": "vip", "host": "10.0.20.202", "source_address": "192.168.1.10", "endpoints": [{"service": "smtp"}]}
    config = {"vantage": {"addresses": ["192.168.1.10"]}, "paths": [path]}
    assert render(merged(MINIMAL, {"hostNetwork": False, "config": config, **place})).manifests


def test_all_are_told_at_once() -> None:
    change = {"podAddressIsSeen": True, "syslogService": {"enabled": True}, "config": {"history": {"file": "/h.db"}}}
    assert len(sentences(refusal(merged(MINIMAL, change)))) == 3


def test_every_sentence_of_the_template_is_shown_here() -> None:
    """Each begins with a word of its own or a value; the cases are told apart by the longest text without a value."""
    written = [line for line in TEMPLATE.splitlines() if line.startswith("- ")]
    texts = [max(re.split(r"\{\{.*?\}\}", line), key=len) for line in written]
    said = "\n".join(said_of(case) for case in CASES.values())
    assert len([text for text in texts if text not in said]) == LOST_FILES
