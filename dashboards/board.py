"""Sections, variables, links and alerts on one board, and the board as text.

- A strip of panels fills the grid's 24 columns; places and numbers are given here, in order, so that they are stable.
- The text is the same for the same code: keys as the library has them, two spaces, a newline at the end.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as words
from grafana_foundation_sdk.models.dashboard import GridPos, VariableModel, VariableOption

from dashboards import addresses, around, now, panels, sessions
from dashboards.questions import ENDPOINT, FIRING, VANTAGE

UID = "mailprobe"
COLUMNS = 24
PHASE_COUNT = "mailprobe_phase_duration_seconds_count"
PROJECT = "https://github.com/mailprobe/mailprobe"


@dataclass(frozen=True, slots=True)
class Strip:
    """Panels beside each other: their height, and each with its width."""

    height: int
    panels: Sequence[tuple[panels.AnyPanel, int]]


def sections() -> dict[str, Sequence[Strip]]:
    """The board from top to bottom."""
    return {
        "Now": (
            Strip(4, [(one, 3) for one in now.numbers()]),
            Strip(10, [(now.by_path(), 24)]),
            Strip(12, [(now.matrix(), 24)]),
            Strip(7, [(now.firing(), 12), (now.vantages(), 12)]),
            Strip(15, [(now.not_always_well(), 24)]),
        ),
        "Addresses": (
            Strip(9, [(addresses.preserved(), 8), (addresses.who_masks(), 16)]),
            Strip(9, [(addresses.masked_now(), 8), (addresses.clients(), 16)]),
        ),
        "Outages": (Strip(9, [(sessions.outages(), 14), (sessions.longest(), 10)]),),
        "Sessions": (
            Strip(10, [(sessions.phases(), 12), (sessions.mean_phases(), 12)]),
            Strip(8, [(sessions.verdicts(), 24)]),
        ),
        "Evidence": (Strip(9, [(around.lag(), 12), (around.sources(), 12)]),),
        "Around the mail server": (
            Strip(8, [(around.nodes(), 24)]),
            Strip(9, [(around.certificates(), 12), (around.logins(), 12)]),
        ),
    }


def variables() -> list[Builder[VariableModel]]:
    """What can be chosen at the top."""
    return [
        build.DatasourceVariable("datasource").label("Prometheus").type("prometheus"),
        _chosen("vantage", "label_values(mailprobe_verdict, vantage)"),
        _chosen("path", f"label_values(mailprobe_verdict{{{VANTAGE}}}, path)"),
        _chosen("service", f'label_values(mailprobe_verdict{{{VANTAGE},path=~"$path"}}, service)'),
        _chosen("phase", f"label_values({PHASE_COUNT}{{{ENDPOINT}}}, phase)", "connect", "first_byte"),
        _address("status_page", "Status page", "http://127.0.0.1:9797", "Where the daemon's status page is reached"),
        _address("runbooks", "Runbooks", f"{PROJECT}/blob/main/docs/runbooks", "Where the alerts' runbooks are read"),
    ]


def _chosen(name: str, query: str, *first: str) -> build.QueryVariable:
    """Any number of label values; all of them, also those that come later, unless `first` are those to begin with."""
    begin = VariableOption(selected=True, text=list(first) or ["All"], value=list(first) or ["$__all"])
    variable = build.QueryVariable(name).query(query).datasource(panels.PROMETHEUS).multi(True).include_all(True)
    variable = variable.all_value(".*").refresh(words.VariableRefresh.ON_TIME_RANGE_CHANGED).current(begin)
    return variable.sort(words.VariableSort.ALPHABETICAL_ASC).label(name)


def _address(name: str, label: str, url: str, description: str) -> build.TextBoxVariable:
    begin = VariableOption(selected=True, text=url, value=url)
    return build.TextBoxVariable(name).label(label).description(description).default_value(url).current(begin)


class AlertAnnotation(build.AnnotationQuery):
    """What Prometheus's annotations know beside the models of the library."""

    def build(self) -> words.AnnotationQuery:
        return _Titled(**vars(super().build()))


class _Titled(words.AnnotationQuery):
    def to_json(self) -> dict[str, object]:
        more = {"titleFormat": "{{alertname}}", "textFormat": "{{path}} {{service}} {{vantage}}", "tagKeys": "severity"}
        return {**super().to_json(), **more, "step": "30s"}


def alerts() -> AlertAnnotation:
    """Alerts of mailprobe's rules, marked in every picture over time."""
    annotation = AlertAnnotation().name("Alerts").datasource(panels.PROMETHEUS).enable(True).hide(False)
    annotation.expr(FIRING).icon_color(panels.BAD)
    return annotation


def placed() -> Iterator[words.Panel | words.RowPanel]:
    """All headings and panels with their numbers and places."""
    y = number = 0
    for title, strips in sections().items():
        number += 1
        heading = build.Row(title).id(number).grid_pos(GridPos(x=0, y=y, w=COLUMNS, h=1)).build()
        yield heading
        y += 1
        for strip in strips:
            x = 0
            for panel, width in strip.panels:
                number += 1
                one = panel.build()
                one.id_val, one.grid_pos = number, GridPos(x=x, y=y, w=width, h=strip.height)
                yield one
                x += width
            y += strip.height


def board() -> words.Dashboard:
    """The whole dashboard."""
    made = (
        build.Dashboard("mailprobe")
        .uid(UID)
        .description("Does the client's real address survive the way into the mail server? docs/dashboard.md")
        .tags(["mailprobe", "mail"])
        .editable()
        .timezone("browser")
        .time("now-6h", "now")
        .refresh("1m")
        .tooltip(words.DashboardCursorSync.CROSSHAIR)
        .variables(variables())
        .annotations([alerts()])
        .links(
            [
                panels.link("Status page", panels.STATUS_PAGE).tooltip("What is wrong, why, and what to do next"),
                panels.link("Runbooks", panels.RUNBOOKS).tooltip("What each alert means and how to mend it"),
            ]
        )
        .build()
    )
    made.panels = list(placed())
    return made


def as_text() -> str:
    """The dashboard as Grafana reads it."""
    return json.dumps(board(), cls=JSONEncoder, indent=2, ensure_ascii=False) + "\n"
