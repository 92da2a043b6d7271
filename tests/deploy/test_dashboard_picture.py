"""The drawing's own rules: variables as Grafana fills them in, tables as its transformations leave them, words."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from dashboards.picture.ask import Answer, Prometheus
from dashboards.picture.axes import rounded_up
from dashboards.picture.cells import table
from dashboards.picture.expand import Span, chosen, expand
from dashboards.picture.look import by_threshold, said
from dashboards.picture.svg import cut
from dashboards.verdicts import CODES
from probe.model import Verdict
from tests.deploy.test_dashboard import BOARD, PANELS

SPAN = Span(begin=0.0, end=21600.0, step=20.0, scrape=15.0)
MATRIX: dict[str, Any] = next(one for one in PANELS if one["title"] == "Who sees what now?")
PICTURE = Path(__file__).parents[2] / "docs" / "dashboard.svg"


def test_what_the_board_begins_with_stands_in_queries() -> None:
    values = chosen(BOARD)
    assert values["vantage"] == ".*"
    assert values["phase"] == "(connect|first_byte)"
    assert expand('a{b=~"$path|"}[${__range}] ${status_page:raw}/x', {**values, **SPAN.variables}) == (
        'a{b=~".*|"}[21600s] http://127.0.0.1:9797/x'
    )


def test_a_variable_that_is_not_there_is_named() -> None:
    with pytest.raises(KeyError, match="nowhere"):
        expand("$nowhere", {})


@pytest.mark.parametrize(("step", "scrape", "rate"), [(20.0, 15.0, "60s"), (120.0, 15.0, "135s"), (1.0, 1.0, "4s")])
def test_rates_look_at_four_scrapes_or_a_step_and_a_scrape(step: float, scrape: float, rate: str) -> None:
    assert Span(begin=0, end=1, step=step, scrape=scrape).variables["__rate_interval"] == rate


def test_a_panel_may_want_it_coarser_never_finer() -> None:
    asked = Prometheus("http://x", SPAN, {})
    assert asked.of({"maxDataPoints": 100}).span.step == 216
    assert asked.of({"maxDataPoints": 10_000}).span.step == asked.of({}).span.step == 20


def _cell(endpoint: str, vantage: str, verdict: Verdict) -> Answer:
    labels = {"endpoint": endpoint, "vantage": vantage}
    return Answer(query="A", labels=labels, legend="", points=[(0.0, float(CODES[verdict]))])


def test_the_matrix_has_columns_in_order_and_the_worst_row_first() -> None:
    answers = [
        _cell("a / smtp", "office", Verdict.PRESERVED),
        _cell("b / smtp", "office", Verdict.PRESERVED),
        _cell("b / smtp", "lan", Verdict.MASKED),
        _cell("c / smtp", "office", Verdict.SILENT_DROP),
    ]
    content = table(MATRIX, answers)
    assert content.columns == ["endpoint\\vantage", "lan", "office", "worst"]
    assert [row["endpoint\\vantage"] for row in content.rows] == ["c / smtp", "b / smtp", "a / smtp"]
    assert [row.get("lan") for row in content.rows] == [None, CODES[Verdict.MASKED], None]


def test_tables_of_several_queries_have_a_row_for_each_vantage() -> None:
    [panel] = [one for one in PANELS if one["title"] == "Do the probes themselves live?"]
    answers = [
        Answer(query=query, labels={"vantage": vantage, **more}, legend="", points=[(0.0, 1.0)])
        for query, more in (("A", {}), ("B", {}), ("C", {"version": "0.1"}))
        for vantage in ("lan", "office")
        if (query, vantage) != ("C", "office")
    ]
    content = table(panel, answers)
    assert content.columns == ["vantage", "Value #A", "Value #B", "version"]
    assert [row.get("version") for row in content.rows] == ["0.1", None]


def test_rows_keep_their_places_whatever_order_the_answers_have() -> None:
    [panel] = [one for one in PANELS if one["title"] == "Which endpoints were out longest?"]
    answers = [
        Answer(
            query="A", labels={"path": path, "service": "smtp", "vantage": "lan"}, legend="", points=[(0.0, seconds)]
        )
        for path, seconds in (("a", 3.0), ("b", 9.0), ("c", 5.0))
    ]
    for given in (answers, answers[::-1]):
        assert [row["path"] for row in table(panel, given).rows] == ["b", "c", "a"]
    tables = [one for one in PANELS if one["type"] == "table" and one is not MATRIX]
    assert [one["title"] for one in tables if len(one["options"]["sortBy"]) != 1] == []


@pytest.mark.parametrize(
    ("value", "unit", "words"),
    [
        (0.0123, "s", "12.3 ms"),
        (90.0, "s", "1.5 min"),
        (0.0, "s", "0 s"),
        (39.6, "d", "40 d"),
        (0.5, "percentunit", "50.0%"),
        (12.0, "cpm", "12/min"),
        (1.0, "bool_yes_no", "Yes"),
        (float("nan"), "s", "–"),
        (1234.0, "short", "1,234"),
    ],
)
def test_values_in_their_units(value: float, unit: str, words: str) -> None:
    assert said(value, unit) == words


def test_the_last_threshold_that_is_reached_gives_the_colour() -> None:
    look = {"thresholds": {"steps": [{"value": None, "color": "a"}, {"value": 3, "color": "b"}]}}
    assert [by_threshold(look, value) for value in (-1, 2.9, 3, 4)] == ["a", "a", "b", "b"]


def test_an_axis_ends_at_a_round_number() -> None:
    assert [rounded_up(value) for value in (0.0, 0.7, 1.0, 11, 260)] == [1.0, pytest.approx(0.8), 1.0, 15, 300]


def test_words_are_cut_where_they_do_not_fit() -> None:
    assert [cut("preserved", width, 10) for width in (10, 30, 100)] == ["", "pres…", "preserved"]


def test_the_picture_in_the_docs_is_of_these_panels() -> None:
    words = set(re.findall(r"<text[^>]*>([^<]*)</text>", PICTURE.read_text(encoding="utf-8")))
    titles = {panel["title"].replace("$phase", "connect + first_byte").replace("&", "&amp;") for panel in PANELS}
    assert {title.replace("'", "&#x27;") for title in titles} - words == set()
