"""The alerts: stories told to promtool, old and new; every alert with its runbook, every verdict with its alert."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from probe.cli import command
from probe.model import Severity, Verdict
from probe.service.metrics.catalogue import METRICS
from tests.deploy.alert_cases import CASES, PARTS
from tests.deploy.promtool import (
    GENERATIONS,
    MAINTENANCE_RULES,
    NEWER,
    REPOSITORY,
    RULES,
    alerts,
    program,
    run,
    unit_tests,
)
from tests.deploy.stories_of_drains import DRAINS, beside_another_cluster
from tests.deploy.stories_of_faults import VERDICTS

DOCUMENT = (REPOSITORY / "docs/alerts.md").read_text(encoding="utf-8")
RUNBOOKS = REPOSITORY / "docs/runbooks"
SECTIONS = ["What it means", "Confirm by hand", "Fix", "Silence"]
NAMES = tuple(dict.fromkeys(rule["alert"] for rule in alerts()))
TEXT = RULES.read_text(encoding="utf-8")
FAINTER = [verdict.value for verdict in Verdict if verdict.severity is not Severity.CRITICAL]
OF_PROMETHEUS = {"ALERTS", "up"}
OF_PROBE = {"mailprobe_unfinished"}
"""Told by /probe alone, beside metrics of the catalogue."""

ELSEWHERE = "In a container, a pod, with secrets of systemd, or with TLS on the page: [how these are typed there]"

KUBECTL = {
    "auth": {"--as"},
    "cordon": set[str](),
    "delete": {"-l", "--field-selector"},
    "describe": {"-l"},
    "exec": {"-it"},
    "get": {"-A", "-l", "-o", "--field-selector", "--sort-by"},
    "logs": {"-l", "--since", "--tail"},
    "patch": {"-p"},
    "uncordon": set[str](),
}
"""Options that its subcommands have, as far as they are needed, beside `-n`: read up in the help of kubectl 1.32."""

ASKS = "doveadm auth test "
"""Without a terminal it reads no password, and says that whatever it read is wrong."""


def runbook(alert: str) -> Path:
    """Where an alert's runbook is: its name in lower case, with dashes."""
    return RUNBOOKS / (re.sub(r"(?<!^)(?=[A-Z])", "-", alert.removeprefix("Mailprobe")).lower() + ".md")


def play(generation: str, told: Mapping[str, Any], folder: Path) -> None:
    """Stories, by promtool; JSON is YAML that is read and written sooner."""
    file = folder / "stories.yaml"
    file.write_text(json.dumps(told), encoding="utf-8")
    run(program("promtool", generation), "test", "rules", str(file))


def sedded(file: Path, folder: Path, cluster: str = "") -> Path:
    """A copy of rules, changed by the document's own line for them."""
    copy = folder / file.name
    copy.write_bytes(file.read_bytes())
    line = re.search(rf"^sudo (sed -i .*) /etc/prometheus/{re.escape(file.name)}$", DOCUMENT, re.M)
    assert line
    run(*shlex.split(line[1].replace("CLUSTER", cluster)), str(copy))
    return copy


@pytest.mark.parametrize("part", PARTS)
def test_stories_page_as_they_should(part: str, tmp_path: Path) -> None:
    cases, evaluated = PARTS[part]
    play("host", unit_tests(cases, RULES, evaluated=evaluated), tmp_path)


def test_a_newer_prometheus_tells_the_same(tmp_path: Path) -> None:
    """Of the stories in which every template of a summary is filled."""
    play(NEWER, unit_tests(VERDICTS, RULES), tmp_path)


def test_a_cordon_announces_a_drain(tmp_path: Path) -> None:
    play("host", unit_tests(DRAINS, RULES, MAINTENANCE_RULES, evaluated=30), tmp_path)


def test_the_sed_of_the_document_leaves_cordons_of_other_clusters_out(tmp_path: Path) -> None:
    """And a newer Prometheus tells the same of the others."""
    copy = sedded(MAINTENANCE_RULES, tmp_path, cluster="mail")
    cases = map(beside_another_cluster, DRAINS)
    play(NEWER, unit_tests(cases, RULES, copy, evaluated=30), tmp_path)


@pytest.mark.parametrize("generation", GENERATIONS)
def test_rules_and_examples_are_taken(generation: str) -> None:
    promtool, amtool = program("promtool", generation), program("amtool", generation)
    run(promtool, "check", "rules", "--lint-fatal", str(RULES), str(MAINTENANCE_RULES))
    run(promtool, "check", "config", str(RULES.with_name("prometheus.example.yaml")))
    run(amtool, "check-config", str(RULES.with_name("alertmanager.example.yaml")))


@pytest.mark.parametrize("alert", NAMES)
def test_an_alert_has_stories_in_which_it_fires_with_its_words_and_in_which_it_does_not(alert: str) -> None:
    moments = [(case, fires) for case in CASES for fires in case.fires.values()]
    telling = [
        case for case, fires in moments for told, says in fires.items() if says and told.startswith(f"{alert}{{")
    ]
    assert telling
    silent = [case for case, fires in moments if not any(told.startswith(f"{alert}{{") for told in fires)]
    assert {case.name for case in telling} & {case.name for case in silent}, "no story in which it comes or goes"


@pytest.mark.parametrize("alert", NAMES)
def test_an_alert_has_a_severity_and_a_runbook_and_names_what_it_is_about(alert: str) -> None:
    url = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]["Repository"]
    for rule in (rule for rule in alerts() if rule["alert"] == alert):
        assert rule["labels"].keys() == {"severity"}
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert rule["annotations"].keys() == {"summary", "description", "runbook_url"}
        page = runbook(alert).relative_to(REPOSITORY)
        assert rule["annotations"]["runbook_url"] == f"{url}/blob/main/{page}"
        assert re.search(r"\$labels\.(path|vantage|node)", rule["annotations"]["summary"])
        if " by (path, service)" in rule["expr"] or "(vantage, path, service)" in rule["expr"].partition("{")[0]:
            assert "{{ $labels.path }}/{{ $labels.service }}" in rule["annotations"]["summary"]


def test_the_sed_of_the_document_moves_every_runbook(tmp_path: Path) -> None:
    copy = sedded(RULES, tmp_path)
    moved = {rule["annotations"]["runbook_url"] for rule in alerts(copy)}
    assert moved == {f"https://wiki.example.org/mailprobe/{runbook(alert).name}" for alert in NAMES}


def test_every_runbook_is_an_alert_s_and_has_its_sections() -> None:
    pages = {runbook(alert): alert for alert in NAMES}
    assert set(RUNBOOKS.iterdir()) == set(pages)
    for page, alert in pages.items():
        text = page.read_text(encoding="utf-8")
        assert text.startswith(f"# {alert}\n"), page.name
        assert re.findall(r"^## (.*)$", text, re.M) == SECTIONS, page.name
        assert f"amtool silence add alertname={alert} " in text, page.name
        for section in ("Confirm by hand", "Silence"):
            assert "```\n" in text.partition(f"## {section}")[2].partition("\n## ")[0], (page.name, section)
        assert f"{ELSEWHERE}(../by-hand.md)." in text.partition("## Confirm by hand")[2].partition("```")[0], page.name
        assert re.findall(r"curl -s(?!S).*", text) == [], "what fails must not look like nothing there"


def test_the_runbook_of_whatever_inhibits_others_says_so() -> None:
    """Whoever silences it for a week should know what else is not told."""
    example = yaml.safe_load(RULES.with_name("alertmanager.example.yaml").read_text(encoding="utf-8"))
    sources = " ".join(one["source_matchers"][0] for one in example["inhibit_rules"])
    inner = "|".join(re.findall(r"Mailprobe\(?([\w|]+)", sources)).split("|")
    inhibiting = {f"Mailprobe{name}" for name in inner} - {"MailprobeMaintenance"}
    assert inhibiting <= {*NAMES}
    silent = [name for name in inhibiting if "silenced or not, it inhibits" not in runbook(name).read_text("utf-8")]
    assert silent == []


def test_commands_of_ours_in_runbooks_are_understood() -> None:
    """Parsed, and not run."""
    text = "\n".join(page.read_text(encoding="utf-8") for page in [*RUNBOOKS.iterdir()]) + DOCUMENT
    told = re.findall(r"(?:^|\| |`|sudo )probe ([a-z-][^|#\n`]*)", text, re.M)
    assert len(told) > len(NAMES) / 2
    for one in told:
        words = shlex.split(one)
        if words[0].startswith("-"):
            command.make_context("probe", words)
        else:
            command.commands[words[0]].make_context(words[0], words[1:])


def test_what_runbooks_look_for_in_the_probe_s_log_is_told_there() -> None:
    """As a verdict, or in an event that is no mere information."""
    code = "".join(file.read_text(encoding="utf-8") for file in (REPOSITORY / "probe/service").rglob("*.py"))
    events = re.findall(r'(?:warn\(|tell\("(?:error|warning)", )\s*f?"([^"]+)"', code)
    text = "\n".join(page.read_text(encoding="utf-8") for page in [*RUNBOOKS.iterdir()])
    told = re.findall(r"journalctl -u mailprobe [^|\n`]*\| (grep [^|\n`]+)", text)
    assert len(told) > 1
    for one in told:
        sought = shlex.split(one)[-1]
        assert sought in {*Verdict} or any(sought in event for event in events), one


def test_kubectl_in_runbooks_knows_its_options_and_has_a_terminal_where_a_password_is_asked_for() -> None:
    """Not run: whoever runs the tests may have a cluster."""
    text = "\n".join(page.read_text(encoding="utf-8") for page in [*RUNBOOKS.iterdir()]) + DOCUMENT
    told = [re.split(r"[`#|)\n]", one)[0] for one in text.split("kubectl ")[1:]]
    assert len(told) > len(NAMES)
    for one in told:
        words = shlex.split(one.partition(" -- ")[0])
        given = {word.partition("=")[0] for word in words if word.startswith("-")}
        verb = next(iter(re.findall(r"^(?:-n \S+ )?(\w+)", one)), "none")
        assert given <= {"-n", *KUBECTL.get(verb, ())}, one
        assert ASKS not in one or "-it" in given, one


def test_every_verdict_but_the_good_one_has_its_alert() -> None:
    told = dict(re.findall(r"^\| `(\w+)` \| (\w+) \|$", DOCUMENT, re.M))
    assert set(told) == {*Verdict} - {Verdict.PRESERVED}
    for verdict, alert in told.items():
        rule = next(rule for rule in alerts() if rule["alert"] == alert)
        assert f'{{verdict="{verdict}"}}' in rule["expr"] or f"mailprobe_{verdict}:lasting" in rule["expr"]
        if alert != "MailprobeUnverified":
            expected = "critical" if Verdict(verdict).severity is Severity.CRITICAL else "warning"
            assert rule["labels"]["severity"] == expected


def test_lists_of_verdicts_in_the_rules_are_of_the_closed_set() -> None:
    """What is critical is what is none of these, so that a verdict that is new is not left out."""
    lists = {frozenset(told.split("|")) for told in re.findall(r'verdict!~["\']([\w|]+)["\']', TEXT)}
    assert lists == {frozenset(FAINTER), frozenset(FAINTER) | {Verdict.MASKED, Verdict.SPOOFABLE}}
    for told in re.findall(r'verdict(?:[!=]~?|", )["\']([\w|]+)["\']', TEXT):
        assert {*told.split("|")} <= {*Verdict}


def test_every_metric_of_the_rules_is_in_the_catalogue() -> None:
    groups = yaml.safe_load(TEXT)["groups"]
    recorded = {rule["record"] for group in groups for rule in group["rules"] if "record" in rule}
    every = [rule for group in groups for rule in group["rules"]]
    expressions = " ".join(" ".join((rule["expr"], *rule.get("annotations", {}).values())) for rule in every)
    for name in sorted(recorded, key=len, reverse=True):
        assert name in expressions, f"{name} is recorded for nobody"
        expressions = expressions.replace(name, "")
    named = set(re.findall(r"\b(mailprobe_\w+|ALERTS|up)\b(?=[{\[)\s])", expressions))
    assert {re.sub(r"_count$", "", name) for name in named} <= {*METRICS} | OF_PROMETHEUS | OF_PROBE
    assert "mailprobe_verdict" in named


def test_the_table_of_the_document_is_that_of_the_rules() -> None:
    rows = re.findall(
        r"^\| \[(\w+)\]\(runbooks/([\w-]+\.md)\) \| ([\w, ]+) \| (.+) \| (.+) \| (.+) \|$", DOCUMENT, re.M
    )
    assert [name for name, *_ in rows] == list(NAMES)
    for name, page, severity, waits, *_ in rows:
        rules = [rule for rule in alerts() if rule["alert"] == name]
        assert RUNBOOKS / page == runbook(name)
        assert severity == ", ".join(rule["labels"]["severity"] for rule in rules)
        for rule in rules:
            assert rule.get("for", "") in waits, name
