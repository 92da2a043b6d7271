"""The dashboard as it is checked in: it is what the code makes, what Grafana's schemas allow, and it can be read."""

from __future__ import annotations

import json
import re
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from dashboards.__main__ import FILE
from dashboards.board import COLUMNS, as_text
from dashboards.verdicts import CODES, COLOURS, CRITICAL, KEEPS_OUT, KINDS, NOT_JUDGED, WORST_FIRST, Kind
from probe.model import Severity, Verdict
from probe.service.metrics.catalogue import METRICS, VANTAGE
from probe.service.metrics.standing import WORST_FIRST as PORTS
from tests.deploy.colours import difference, seen_without
from tests.deploy.promtool import program, run
from tests.deploy.schemas import faults, grafana

REPOSITORY = Path(__file__).parents[2]
BOARD: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
PANELS: list[dict[str, Any]] = [one for one in BOARD["panels"] if one["type"] != "row"]
TARGETS = [(panel["title"], target) for panel in PANELS for target in panel["targets"]]
EVERY_PANEL = pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
COUNTED = ("Nobody gets in", "Wrong address", "Some kept out", "Unverified")
APART = 15.0
"""Difference (CIE 1976) of two colours that lie side by side in a strip; about two are just noticeable."""


def test_what_is_checked_in_is_what_the_code_makes() -> None:
    assert FILE.read_text(encoding="utf-8") == as_text(), "make dashboards"


OUT = 'mailprobe_outage_seconds_total{vantage="v",path="vip",service="smtp",instance="%d"}'
READ = 'mailprobe_clients_total{vantage="%s",network="%s"}'
UNANSWERED = 'alertname="MailprobeDown",severity="warning",job="mailprobe",instance="vps:9797"'
ANOTHER_POD = {OUT % 1: "0+60x10 600x1 stale", OUT % 2: "_x12 0+60x10 600x10"}
"""Each process counts its seconds from 0 and has an instance of its own: ten minutes of one, then of the next."""

ONE_KNOWS_NETWORKS = {
    READ % ("lan", "node"): "0+70x30",
    READ % ("lan", "other"): "0x30",
    READ % ("vps", "other"): "0+60x30",
}
"""Two vantages read one log, in which a node masks all; the other one has no `networks`."""

ANSWERS: dict[str, tuple[dict[str, str], dict[str, int], int]] = {
    "Most time out": (ANOTHER_POD, {"{}": 1_200}, 100),
    "Which endpoints were out longest?": (ANOTHER_POD, {'{vantage="v",path="vip",service="smtp"}': 1_200}, 100),
    "Whose addresses do real clients come from?": (
        ONE_KNOWS_NETWORKS,
        {'{network="node"}': 70, '{network="other"}': 0},
        1,
    ),
    "What fires?": ({f'ALERTS{{alertstate="firing",{UNANSWERED}}}': "1x30"}, {f"{{{UNANSWERED}}}": 1}, 1),
}
"""By panel: what is scraped, each minute for half an hour; what it shows then; to what that is rounded."""


@pytest.mark.parametrize("title", ANSWERS)
def test_what_a_panel_makes_of_what_is_scraped(title: str, tmp_path: Path) -> None:
    given, shown, nearest = ANSWERS[title]
    (asked,) = [target["expr"] for panel, target in TARGETS if panel == title]
    asked = re.sub(r'=~"\$\w+(\|?)"', r'=~".*\1"', asked)
    asked = asked.replace("$__range", "30m").replace("$__rate_interval", "5m")
    test = {"interval": "1m", "input_series": [{"series": name, "values": values} for name, values in given.items()]}
    samples = [{"labels": labels, "value": value} for labels, value in shown.items()]
    expr = f"round({asked}, {nearest})"
    test["promql_expr_test"] = [{"expr": expr, "eval_time": "30m", "exp_samples": samples}]
    file = tmp_path / "out.yaml"
    file.write_text(yaml.safe_dump({"rule_files": [], "evaluation_interval": "1m", "tests": [test]}), encoding="utf-8")
    run(program("promtool", "host"), "test", "rules", str(file))


class TestGrafanaSchemas:
    def test_the_dashboard(self) -> None:
        assert faults(BOARD, "dashboard") == []

    @EVERY_PANEL
    def test_options_and_fields_of_every_panel(self, panel: dict[str, Any]) -> None:
        assert faults(panel["options"], panel["type"], "Options") == []
        own = panel["fieldConfig"]["defaults"].get("custom", {})
        if grafana(panel["type"], "FieldConfig") is None:
            assert own == {}
        else:
            assert faults(own, panel["type"], "FieldConfig") == []

    @pytest.mark.parametrize(("title", "target"), TARGETS)
    def test_every_query(self, title: str, target: dict[str, Any]) -> None:
        assert faults(target, "prometheus") == []

    @pytest.mark.parametrize(
        ("place", "wrong"),
        [(("uid",), 5), (("panels", 1, "type"), ""), (("templating", "list", 0, "type"), "list"), (("more",), 1)],
    )
    def test_the_schemas_do_refuse(self, place: tuple[str | int, ...], wrong: object) -> None:
        board = json.loads(json.dumps(BOARD))
        parent = board
        for step in place[:-1]:
            parent = parent[step]
        parent[place[-1]] = wrong
        assert faults(board, "dashboard") != []


class TestEveryPanel:
    @EVERY_PANEL
    def test_says_what_it_is(self, panel: dict[str, Any]) -> None:
        assert len(panel["description"]) > 40
        assert panel["title"]
        defaults = panel["fieldConfig"]["defaults"]
        assert defaults["unit"]
        values = [step["value"] for step in defaults["thresholds"]["steps"]]
        assert values[0] is None
        assert values[1:] == sorted(values[1:])

    @EVERY_PANEL
    def test_asks_whatever_data_source_is_chosen(self, panel: dict[str, Any]) -> None:
        chosen = {"type": "prometheus", "uid": "${datasource}"}
        assert [panel["datasource"], *(target["datasource"] for target in panel["targets"])] == [chosen] * (
            1 + len(panel["targets"])
        )

    def test_has_a_place_of_its_own_within_the_grid(self) -> None:
        cells = [
            (x, y)
            for one in BOARD["panels"]
            for x in range(one["gridPos"]["x"], one["gridPos"]["x"] + one["gridPos"]["w"])
            for y in range(one["gridPos"]["y"], one["gridPos"]["y"] + one["gridPos"]["h"])
        ]
        assert len(cells) == len(set(cells))
        assert {x for x, _ in cells} == set(range(COLUMNS))
        numbers = [one["id"] for one in BOARD["panels"]]
        assert numbers == list(range(1, len(numbers) + 1))

    @pytest.mark.parametrize(("title", "target"), TARGETS)
    def test_names_metrics_and_labels_that_are(self, title: str, target: dict[str, Any]) -> None:
        """And no recording rule: whatever has a name of ours is a metric of the daemon."""
        found = re.findall(r"(mailprobe_\w+|\w+:\w+)\{([^}]*)\}", target["expr"])
        assert found or "ALERTS{" in target["expr"]
        for name, matchers in found:
            metric = METRICS.get(name) or METRICS[re.sub(r"_(bucket|sum|count)$", "", name)]
            assert {*re.findall(r"(\w+)[=!]", matchers)} <= {*metric.labels, VANTAGE}

    @pytest.mark.parametrize(("title", "target"), TARGETS)
    def test_asks_of_what_is_chosen(self, title: str, target: dict[str, Any]) -> None:
        for name, matchers in re.findall(r"(mailprobe_\w+)\{([^}]*)\}", target["expr"]):
            metric = METRICS.get(name) or METRICS[re.sub(r"_(bucket|sum|count)$", "", name)]
            for label in (VANTAGE, *({"path", "service"} & {*metric.labels})):
                if title == "Do the probes themselves live?" and label != VANTAGE:
                    continue  # a row for each vantage, whatever path is looked at
                assert f'{label}=~"${label}"' in matchers, (name, label)


class TestVerdicts:
    def test_each_has_a_number_a_kind_and_a_colour(self) -> None:
        assert set(CODES) == set(KINDS) == set(Verdict)
        assert sorted(CODES.values()) == list(range(1, len(Verdict) + 1))
        assert set(COLOURS) == set(Kind)

    def test_the_greater_number_is_the_worse(self) -> None:
        order = list(Severity)
        worse = sorted(Verdict, key=CODES.__getitem__, reverse=True)
        assert [order.index(one.severity) for one in worse] == sorted(order.index(one.severity) for one in Verdict)
        assert min(CODES[one] for one in KEEPS_OUT) > CODES[Verdict.MASKED]
        assert set(CRITICAL) - set(KEEPS_OUT) == {Verdict.MASKED, Verdict.SPOOFABLE, Verdict.LOGIN_FAILED}
        assert CODES[Verdict.LOGIN_FAILED] < min(CODES[Verdict.MASKED], CODES[Verdict.SPOOFABLE])

    def test_the_daemon_tells_ports_of_a_service_in_this_order_but_for_logins(self) -> None:
        """A pager must not miss logins that all fail behind a port that is masked on purpose."""
        daemons, boards = ([one for one in order if one is not Verdict.LOGIN_FAILED] for order in (PORTS, WORST_FIRST))
        assert daemons == boards
        assert PORTS.index(Verdict.LOGIN_FAILED) < PORTS.index(Verdict.MASKED)

    def test_each_is_counted_by_one_number_or_is_fine(self) -> None:
        numbers = [target["expr"] for panel, target in TARGETS if panel in COUNTED]
        counted = [verdict for one in numbers for verdict in re.findall(r'verdict=~"([a-z_|]+)"', one)[0].split("|")]
        assert sorted(counted) == sorted(set(Verdict) - {Verdict.PRESERVED})

    @pytest.mark.parametrize("panel", [one for one in PANELS if "mailprobe_verdict" in one["targets"][0]["expr"]])
    def test_strips_and_cells_cover_the_closed_set(self, panel: dict[str, Any]) -> None:
        if panel["type"] == "stat":
            return
        [mapping] = panel["fieldConfig"]["defaults"]["mappings"]
        shown = {int(number): (one["text"], one["color"]) for number, one in mapping["options"].items()}
        told = {CODES[verdict]: (verdict.value, COLOURS[KINDS[verdict]]) for verdict in Verdict}
        assert shown == {**told, NOT_JUDGED: (Kind.NOT_JUDGED.value, COLOURS[Kind.NOT_JUDGED])}
        for verdict in Verdict:
            number = f'label_replace(vector({CODES[verdict]}), "verdict", "{verdict}", "", "")'
            assert number in panel["targets"][0]["expr"]

    @pytest.mark.parametrize("lacking", ["nothing", "red", "green", "blue"])
    def test_kinds_are_told_apart_by_whoever_sees_no(self, lacking: str) -> None:
        seen = {kind: seen_without(lacking, colour) for kind, colour in COLOURS.items()}
        near = {pair: difference(*(seen[kind] for kind in pair)) for pair in combinations(Kind, 2)}
        assert {pair: far for pair, far in near.items() if far < APART} == {}


class TestVariablesAndLinks:
    def test_variables(self) -> None:
        kinds = {one["name"]: one["type"] for one in BOARD["templating"]["list"]}
        assert kinds == {
            "datasource": "datasource",
            "vantage": "query",
            "path": "query",
            "service": "query",
            "phase": "query",
            "status_page": "textbox",
            "runbooks": "textbox",
        }

    def test_every_variable_that_is_used_is_there(self) -> None:
        used = set(re.findall(r"\$\{?([a-z]\w*)", FILE.read_text(encoding="utf-8")))
        assert used == {one["name"] for one in BOARD["templating"]["list"]}

    def test_links_lead_to_the_status_page_and_the_runbooks(self) -> None:
        assert [one["url"] for one in BOARD["links"]] == ["${status_page:raw}", "${runbooks:raw}"]

    def test_alerts_are_marked_whatever_labels_they_lack(self) -> None:
        [annotation] = BOARD["annotations"]["list"]
        assert annotation["expr"].startswith('ALERTS{alertname=~"Mailprobe.*",alertstate="firing",')
        for label in ("vantage", "path", "service"):
            assert f'{label}=~"${label}|"' in annotation["expr"]

    def test_the_alerts_of_the_rules_are_those_that_are_marked(self) -> None:
        rules = REPOSITORY / "deploy" / "prometheus" / "mailprobe.rules.yaml"
        if rules.exists():
            names = re.findall(r"alert: (\w+)", rules.read_text(encoding="utf-8"))
            assert names
            assert [name for name in names if not name.startswith("Mailprobe")] == []


class TestProvisioning:
    """The examples below deploy/grafana, as Grafana reads them."""

    def read(self, name: str) -> dict[str, Any]:
        file = REPOSITORY / "deploy" / "grafana" / "provisioning" / name / "mailprobe.yaml"
        content: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
        assert content["apiVersion"] == 1
        return content

    def test_a_dot_leads_to_its_session(self) -> None:
        [source] = self.read("datasources")["datasources"]
        [destination] = source["jsonData"]["exemplarTraceIdDestinations"]
        assert (source["type"], destination["name"]) == ("prometheus", "session_id")
        assert destination["url"].endswith("/sessions/$${__value.raw}")

    def test_the_dashboard_lies_where_the_document_puts_it(self) -> None:
        [provider] = self.read("dashboards")["providers"]
        page = (REPOSITORY / "docs" / "dashboard.md").read_text(encoding="utf-8")
        assert f"dashboards/mailprobe.json {provider['options']['path']}/mailprobe.json" in page


def test_every_panel_is_explained() -> None:
    page = (REPOSITORY / "docs" / "dashboard.md").read_text(encoding="utf-8")
    assert [panel["title"] for panel in PANELS if panel["title"].replace("$phase", "…") not in page] == []
