"""Outages and sessions: how long was anybody kept out, and where does a session's time go?"""

from __future__ import annotations

from grafana_foundation_sdk.builders import common, heatmap, table, timeseries
from grafana_foundation_sdk.builders import heatmap as heat
from grafana_foundation_sdk.models import common as words
from grafana_foundation_sdk.models import heatmap as heat_words
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from dashboards import panels, questions
from dashboards.panels import BAD, WARNING, Said, steps
from dashboards.verdicts import WORST_FIRST, colour

SLOW, FAR_TOO_SLOW = 1.0, 5.0
"""Seconds of a phase. Postfix and Dovecot give up a PROXY header that does not come after 5 s and 3 s."""


def outages() -> timeseries.Panel:
    """A line for each path."""
    said = Said(
        title="When was anybody kept out or masked?",
        description="The share of time in which each path's worst endpoint was critical. The daemon counts the "
        "seconds, so a gap between two scrapes shows as well: 8% of a minute are 5 s.",
        unit="percentunit",
        steps=steps((0.01, WARNING), (0.5, BAD)),
    )
    return panels.lines(said, panels.series(questions.TIME_OUT, "{{path}}")).max(1)


def longest() -> table.Panel:
    """A row for each endpoint."""
    said = Said(
        title="Which endpoints were out longest?",
        description=f"Seconds of outage within the picture's time, all outages of an endpoint together (of two ports "
        f"of one service those of both), the {questions.MOST} longest. Prometheus extrapolates to its scrapes; the "
        "status page has each outage to the tenth of a second.",
        unit="s",
    )
    looks = {"Value": panels.named("outage", "s", steps((1, WARNING), (60, BAD)))}
    order = ("path", "service", "vantage", "Value")
    columns = panels.Columns(order=order, sorted_by="outage", greatest_first=True, looks=looks)
    return panels.grid(said, panels.rows(questions.OUTAGES), columns=columns)


def phases() -> heatmap.Panel:
    """Durations of the chosen phases; dots are sessions to look at."""
    said = Said(
        title="How long does $phase take?",
        description="Sessions by how long the chosen phase took, those that failed included. A dot is a session: its "
        "id leads to transcript and log lines. connect at its timeout: dropped. first_byte at 5 s or 3 s: a PROXY "
        "header is waited for. greeting at 6 s: postscreen.",
        unit="s",
        steps=steps((SLOW, WARNING), (FAR_TOO_SLOW, BAD)),
    )
    colours = heat.HeatmapColorOptions().mode(heat_words.HeatmapColorMode.SCHEME).scheme("Cividis").steps(64)
    query = panels.series(questions.PHASES, "{{le}}").format(PromQueryFormat.HEATMAP).exemplar(True)
    panel = heatmap.Panel().title(said.title).description(said.description).datasource(panels.PROMETHEUS)
    return (
        panel.unit(said.unit)
        .thresholds(panels.thresholds(said.steps))
        .with_target(query)
        .max_data_points(panels.COARSE)
        .calculate(False)
        .color(colours.scale(heat_words.HeatmapColorScale.EXPONENTIAL).exponent(0.5).reverse(False).fill(panels.PLAIN))
        .filter_values(heat.FilterValueRange().le(1e-9))
        .cell_gap(1)
        .show_value(words.VisibilityMode.NEVER)
        .y_axis(heat.YAxisConfig().unit("s").axis_placement(words.AxisPlacement.LEFT).reverse(False))
        .scale_distribution(common.ScaleDistributionConfig().type(words.ScaleDistribution.LINEAR))
        .exemplars_color(panels.BAD)
        .show_legend()
    )


def mean_phases() -> timeseries.Panel:
    """A line for each phase."""
    said = Said(
        title="Where does a session's time go?",
        description="Mean duration of each phase over the chosen endpoints. connect: the network. first_byte, "
        "greeting: name lookups, blacklists, a PROXY header that is waited for. tls, starttls: the server's load. "
        "login: its user database, or a delay after failures.",
        unit="s",
        steps=steps((SLOW, WARNING), (FAR_TOO_SLOW, BAD)),
    )
    return panels.lines(said, panels.series(questions.MEAN_PHASES, "{{phase}}")).max_data_points(panels.COARSE)


def verdicts() -> timeseries.Panel:
    """Areas by verdict."""
    said = Said(
        title="What did sessions prove?",
        description="Judged sessions per minute by verdict, all chosen endpoints together. Fewer than the schedule "
        "asks for: the budget of connections is used up, or a probe is gone.",
        unit="cpm",
    )
    panel = panels.lines(said, panels.series(questions.SESSIONS, "{{verdict}}"), stacked=True).max_data_points(
        panels.COARSE
    )
    for verdict in WORST_FIRST:
        panel = panel.override_by_name(verdict.value, panels.fixed(colour(verdict)))
    return panel
