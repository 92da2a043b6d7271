"""Every query of every panel, put to a real Prometheus that scraped a real daemon through a drop and a masking.

The play is played once, and asked when it is over; the tests look at the answers.
"""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

from dashboards.around import NodeState
from dashboards.picture.__main__ import draw
from dashboards.picture.ask import Answer, Exemplar, Prometheus
from dashboards.picture.expand import Span, chosen
from dashboards.verdicts import CODES
from probe.demo.scenes import Scene
from probe.model import Verdict
from tests.deploy.dashboard_stage import FOLLOWED, MOVED, Stage, staged
from tests.deploy.test_dashboard import BOARD, PANELS
from tests.service.metrics.stand_in import program
from tests.service.web.test_web_browser import CHROMIUM, SWITCHES

pytestmark = pytest.mark.xdist_group("dashboard")

VANTAGE = "lan-probe"
PICTURE = Path(__file__).parents[1] / "artifacts" / "dashboard" / "dashboard.svg"
LOOK = """() => [...document.querySelectorAll("g.panel")].flatMap(panel => {
  const frame = panel.querySelector("rect").getBBox();
  const texts = [...panel.querySelectorAll("text")].map(one => [one.textContent, one.getBBox()]);
  const outside = texts.filter(([, box]) => box.x < frame.x - 1 || box.y < frame.y - 1
    || box.x + box.width > frame.x + frame.width + 1 || box.y + box.height > frame.y + frame.height + 1);
  const over = texts.flatMap(([word, box], at) => texts.slice(at + 1).filter(([, other]) =>
    box.x + box.width > other.x + 2 && other.x + other.width > box.x + 2
    && box.y + box.height > other.y + 4 && other.y + other.height > box.y + 4).map(([next]) => `${word} over ${next}`));
  return [...outside.map(([word]) => `${word} outside`), ...over];
})"""
"""Texts of panels that leave their panel, or lie on each other."""

SERVICES = 4
SCRAPE = 2.0
ALL_AT_ONCE = " and on () ".join(
    (
        f'count(mailprobe_verdict{{verdict="masked"}} == 1) == {SERVICES}',
        f'count(ALERTS{{alertname="MailprobeMasked",alertstate="firing"}}) == {SERVICES}',
        "count(changes(mailprobe_dovecot_logins_total[8s]) > 0)",
        "count(mailprobe_evidence_clock_offset_seconds)",
        'count(mailprobe_announcer_info{node="k8s-node1"})',
    )
)
"""At the end of the play everything shows at one moment, of which all is asked: later some verdict may be another."""


@dataclass(frozen=True, slots=True)
class Told:
    """Answers by panel, the alerts that were marked, values of variables, sessions to look at."""

    answers: dict[str, list[Answer]]
    alerts: list[Answer]
    variables: dict[str, list[str]]
    exemplars: list[Exemplar]
    page_of_a_session: int

    def of(self, title: str) -> list[Answer]:
        return self.answers[title]


@pytest.fixture(name="told", scope="module")
def _told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    program("prometheus", "prometheus")
    return asyncio.run(_play(tmp_path_factory.mktemp("stage")))


async def _play(folder: Path) -> Told:
    begun = time.time()
    async with staged(folder, VANTAGE, scrape=SCRAPE, interval="1s", jitter="0%") as stage:
        await stage.sees(_is(Verdict.PRESERVED), 2 * SERVICES)
        await stage.change_to(Scene.SILENT, MOVED)
        await stage.sees(_is(Verdict.SILENT_DROP), SERVICES)
        await stage.sees('mailprobe_outage_seconds_total{path="vip"} > 0', SERVICES)
        await stage.change_to(Scene.BEHIND_NODE, FOLLOWED)
        end = await stage.since(ALL_AT_ONCE)
        return await _asked(stage, Span(begin=math.floor(begun), end=end, step=1.0, scrape=SCRAPE))


def _is(verdict: Verdict) -> str:
    return f'mailprobe_verdict{{verdict="{verdict}"}} == 1'


async def _asked(stage: Stage, span: Span) -> Told:
    prometheus = Prometheus(stage.prometheus, span, chosen(BOARD))

    def ask() -> tuple[dict[str, list[Answer]], list[Answer], list[Exemplar]]:
        answers = {panel["title"]: prometheus.answers(panel) for panel in PANELS}
        exemplars = [one for panel in PANELS for one in prometheus.exemplars(panel)]
        return answers, prometheus.annotations(BOARD["annotations"]["list"][0]), exemplars

    answers, alerts, exemplars = await asyncio.to_thread(ask)
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    await asyncio.to_thread(draw, stage.prometheus, span, PICTURE)
    variables = {
        one["name"]: await _values(stage, prometheus.filled(one["query"]))
        for one in BOARD["templating"]["list"]
        if one["type"] == "query"
    }
    [daemon] = stage.daemons
    status, _ = await daemon.get(f"/sessions/{exemplars[-1].session}") if exemplars else (0, "")
    return Told(answers, alerts, variables, exemplars, status)


async def _values(stage: Stage, query: str) -> list[str]:
    """What Grafana makes of `label_values(series, label)`."""
    selector, _, label = query.removeprefix("label_values(").removesuffix(")").rpartition(", ")
    url = f"{stage.prometheus}/api/v1/label/{label}/values"
    async with stage.session.get(url, params={"match[]": selector}) as answer:
        values: list[str] = (await answer.json())["data"]
    return values


QUERIES = [(panel["title"], target["refId"]) for panel in PANELS for target in panel["targets"]]


@pytest.mark.parametrize(("title", "query"), QUERIES)
def test_every_query_is_answered_with_numbers(told: Told, title: str, query: str) -> None:
    answers = [one for one in told.of(title) if one.query == query]
    assert answers
    assert any(math.isfinite(value) for one in answers for _, value in one.points)


def _codes(answer: Answer) -> list[int]:
    """The states of a strip, without repetitions."""
    values = [int(value) for _, value in answer.points]
    return [value for index, value in enumerate(values) if index == 0 or values[index - 1] != value]


def _goes_through(seen: list[int], *states: int) -> bool:
    """Whether these states come in this order, whatever lies between them on a machine with much to do."""
    left = iter(seen)
    return all(state in left for state in states)


class TestWhatTheyShow:
    def test_the_strip_of_the_path_goes_through_the_play(self, told: Told) -> None:
        strips = {one.legend: one for one in told.of("How is each path, and since when?")}
        assert set(strips) == {"vip", "inside"}
        seen = _codes(strips["vip"])
        assert _goes_through(seen, CODES[Verdict.PRESERVED], CODES[Verdict.SILENT_DROP], CODES[Verdict.MASKED])
        assert seen[-1] == CODES[Verdict.MASKED]
        assert CODES[Verdict.SILENT_DROP] not in _codes(strips["inside"])

    def test_the_matrix_has_a_cell_for_each_service_of_a_path(self, told: Told) -> None:
        cells = told.of("Who sees what now?")
        assert len(cells) == 2 * SERVICES
        assert {one.latest for one in cells if one.labels["path"] == "vip"} == {CODES[Verdict.MASKED]}
        assert {one.labels["endpoint"] for one in cells} >= {"vip / smtp", "inside / imaps"}
        assert {one.labels["vantage"] for one in cells} == {VANTAGE}

    def test_endpoints_that_were_well_all_the_time_have_no_strip(self, told: Told) -> None:
        strips = told.of("Which endpoints were not always preserved, and what did each vantage see?")
        assert {one.labels["path"] for one in strips} >= {"vip"}
        assert [one.legend for one in strips if _codes(one) in ([1], [0, 1])] == []

    def test_numbers(self, told: Told) -> None:
        assert [told.of("Wrong address")[0].latest, told.of("Nobody gets in")[0].latest] == [SERVICES, 0]
        assert told.of("Most time out")[0].latest > 0
        assert 0 <= told.of("Quietest probe")[0].latest < 30
        assert told.of("Sources down")[0].latest == 0
        assert 39 < told.of("Next certificate")[0].latest <= 40

    def test_who_masks(self, told: Told) -> None:
        by_network = {one.legend: one.latest for one in told.of("Who masks?")}
        assert by_network == {"node": SERVICES, "pod": 0, "gateway": 0, "proxy": 0, "other": 0}
        masked = told.of("What is masked now, and as whose?")
        assert {(one.labels["path"], one.labels["network"], one.latest) for one in masked} == {("vip", "node", 1)}

    def test_share_of_each_path(self, told: Told) -> None:
        shares = {one.legend: one.latest for one in told.of("What share was preserved?")}
        assert shares["inside"] == pytest.approx(1)
        assert 0 < shares["vip"] < 1
        assert next(iter(shares)) == "vip"

    def test_nodes_drop_while_the_announcement_is_left_behind(self, told: Told) -> None:
        strips = {one.legend: _codes(one) for one in told.of("Who announces the address, and who has an endpoint?")}
        assert _goes_through(strips["k8s-node2"], NodeState.SERVES, NodeState.DROPS, NodeState.IDLE)
        assert _goes_through(strips["k8s-node1"], NodeState.IDLE, NodeState.HAS_ENDPOINT, NodeState.SERVES)

    def test_outages(self, told: Told) -> None:
        assert {one.labels["path"] for one in told.of("Which endpoints were out longest?")} >= {"vip"}
        by_path = {
            one.legend: max(value for _, value in one.points) for one in told.of("When was anybody kept out or masked?")
        }
        assert by_path["vip"] > by_path["inside"]

    def test_buckets_of_the_heat_map_hold_the_sessions(self, told: Told) -> None:
        [heat] = [panel for panel in PANELS if panel["type"] == "heatmap"]
        buckets = told.of(heat["title"])
        assert {"+Inf", "0.1"} <= {one.legend for one in buckets}
        assert heat["targets"][0]["format"] == "heatmap"

    def test_a_dot_is_a_session_that_the_daemon_shows(self, told: Told) -> None:
        assert told.exemplars
        assert told.page_of_a_session == 200

    def test_alerts_are_marked(self, told: Told) -> None:
        assert {one.legend for one in told.alerts} == {"MailprobeMasked"}
        assert {one.labels["path"] for one in told.of("What fires?")} == {"vip"}

    def test_variables_have_values(self, told: Told) -> None:
        assert told.variables["vantage"] == [VANTAGE]
        assert told.variables["path"] == ["inside", "vip"]
        assert set(told.variables["service"]) == {"smtp", "submission", "submissions", "imaps"}
        assert "greeting" in told.variables["phase"]


@pytest.mark.skipif(not Path(CHROMIUM).exists(), reason="no chromium here: apt install chromium")
def test_the_picture_can_be_read(told: Told) -> None:
    assert told.answers
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=SWITCHES)
        page = browser.new_page(viewport={"width": 1440, "height": 1000})
        page.goto(PICTURE.as_uri())
        complaints = page.evaluate(LOOK)
        page.screenshot(path=PICTURE.with_suffix(".png"))
        shown = page.locator("g.panel").count()
        browser.close()
    assert complaints == []
    assert shown == len(PANELS)
