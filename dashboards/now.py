"""The first section: is anything wrong now, where, since when. One screen, whatever is watched."""

from __future__ import annotations

from grafana_foundation_sdk.builders import statetimeline, table

from dashboards import panels, questions
from dashboards.panels import BAD, GOOD, WARNING, Said, number, steps
from dashboards.verdicts import COLOURS, Kind, severity_steps, value_mapping

NONE_OR_SOME_BAD = steps((1, BAD))
FORTNIGHT, FEW_DAYS = 14, 3
WORST = "worst"
"""The column of the matrix that its rows are sorted by, so that columns keep their places."""

NUMBERS = (
    (
        Said(
            title="Nobody gets in",
            description="Endpoints with a verdict that keeps everybody out: dropped, refused, no greeting, TLS, "
            "PROXY header. A refused login is not among them: it may be the probe's own password. Each vantage's view "
            "of a service is one. No data: no probe reports.",
            steps=steps((1, COLOURS[Kind.SHUT])),
        ),
        questions.SHUT_OUT,
    ),
    (
        Said(
            title="Wrong address",
            description="Endpoints that are masked or spoofable: mail flows, and the server believes a wrong address.",
            steps=NONE_OR_SOME_BAD,
        ),
        questions.MASKED,
    ),
    (
        Said(
            title="Some kept out",
            description="Endpoints that are rate_limited, give a service_error at times, or refuse the probe's own "
            "login (login_failed). It may be the probe alone, or everybody: see whether real users get in, below.",
            steps=steps((1, WARNING)),
        ),
        questions.SOME_OUT,
    ),
    (
        Said(
            title="Unverified",
            description="Endpoints of which nothing proves what the server saw. They work, and their log lines are "
            "missing (all at once: see the section Evidence); or the vantage cannot even open sessions, by its own "
            "fault: its status page says so at once, MailprobeStale after five minutes.",
            steps=steps((1, COLOURS[Kind.UNVERIFIED])),
        ),
        questions.UNVERIFIED,
    ),
    (
        Said(
            title="Most time out",
            description="How long the worst endpoint was critical within the picture's time, all its outages together, "
            "and those of two ports of one service added; how long each was is on the status page. Short gaps count: "
            "the daemon counts from session to session.",
            unit="s",
            steps=steps((1, WARNING), (60, BAD)),
        ),
        questions.MOST_TIME_OUT,
    ),
    (
        Said(
            title="Quietest probe",
            description="How long ago the vantage that has been silent longest judged a session. A probe that is gone "
            "stays here until it leaves the picture's time.",
            unit="s",
            steps=steps((120, WARNING), (300, BAD)),
        ),
        questions.QUIETEST,
    ),
    (
        Said(
            title="Sources down",
            description="Sources of log lines that are not being followed. Verdicts become unverified, not wrong.",
            steps=NONE_OR_SOME_BAD,
        ),
        questions.DEAF,
    ),
    (
        Said(
            title="Next certificate",
            description="Days until the first certificate expires.",
            unit="d",
            steps=steps((FEW_DAYS, WARNING), (FORTNIGHT, GOOD), first=BAD),
        ),
        questions.FIRST_EXPIRY,
    ),
)


def numbers() -> list[panels.AnyPanel]:
    """Eight numbers; a glance."""
    return [number(said, expr) for said, expr in NUMBERS]


def by_path() -> statetimeline.Panel:
    """A strip for each path."""
    said = Said(
        title="How is each path, and since when?",
        description="The worst verdict of each path over its services and the chosen vantages, in each step. Verdicts "
        "that keep everybody out come before masked. A gap in a strip: no probe reported.",
    )
    return (
        panels.timeline(said, questions.WORST_BY_PATH, "{{path}}")
        .data_links([panels.to_page()])
        .max_data_points(panels.FINE)
    )


def not_always_well() -> statetimeline.Panel:
    """A strip for each endpoint that was not preserved all the time."""
    said = Said(
        title="Which endpoints were not always preserved, and what did each vantage see?",
        description=f"The {questions.MOST} endpoints that were critical longest within the picture's time, then those "
        "with warnings or without evidence. Empty: all were preserved all the time, or no probe reports (see above).",
    )
    legend = "{{path}} / {{service}} from {{vantage}}"
    panel = panels.timeline(said, questions.NOT_ALWAYS_WELL, legend)
    return panel.data_links([panels.to_page()]).max_data_points(panels.COARSE)


def matrix() -> table.Panel:
    """Rows of path and service, a column for each vantage."""
    said = Said(
        title="Who sees what now?",
        description="A row for each service of a path, the worst first, and a column for each vantage. One column that "
        "differs: that vantage's own way. A whole row: the service. All rows of a path: the path. Empty: not probed.",
    )
    panel = panels.grid(said, panels.rows(questions.MATRIX))
    return (
        panel.mappings([value_mapping()])
        .thresholds(panels.thresholds([(step.value, step.color) for step in severity_steps()]))
        .transformations(
            [
                panels.transformation("sortBy", fields={}, sort=[{"field": "vantage"}]),
                panels.transformation(
                    "groupingToMatrix",
                    columnField="vantage",
                    rowField="endpoint",
                    valueField="Value",
                    emptyValue="null",
                ),
                panels.transformation("calculateField", mode="reduceRow", reduce={"reducer": "max"}, alias=WORST),
                panels.transformation("sortBy", fields={}, sort=[{"field": WORST, "desc": True}]),
            ]
        )
        .override_by_field_type("number", [panels.COLOURED])
        .override_by_name("endpoint\\vantage", [*panels.named("path / service"), panels.width(220)])
    )


def firing() -> table.Panel:
    """Alerts that fire."""
    said = Said(
        title="What fires?",
        description="Alerts of mailprobe's rules that fire now; empty if none does, or if Prometheus has not loaded "
        "deploy/prometheus/mailprobe.rules.yaml. The runbook of each is behind the link at the top.",
        steps=steps((1, BAD)),
    )
    order = ("alertname", "severity", "path", "service", "vantage", "node", "source", "job", "instance")
    columns = panels.Columns(order=order, sorted_by="alertname", left_out=["Value"])
    panel = panels.grid(said, panels.rows(questions.FIRING_NOW), columns=columns)
    return panel.no_value("nothing fires, or no rules are loaded")


def vantages() -> table.Panel:
    """A row for each probe."""
    said = Said(
        title="Do the probes themselves live?",
        description="Each vantage: how long ago its latest session was opened, whether the last configuration was "
        "taken, its version. A vantage without a version has stopped reporting.",
        unit="s",
    )
    reload = steps((1, GOOD), first=BAD)
    looks = {
        "Value #A": panels.named("latest session", "s", steps((120, WARNING), (300, BAD))),
        "Value #B": panels.named("configuration taken", "bool_yes_no", reload),
    }
    asked = (questions.LATEST_SESSION, questions.RELOAD, questions.VERSION)
    queries = (panels.rows(expr, ref=ref) for ref, expr in zip("ABC", asked, strict=True))
    order = ("vantage", "Value #A", "Value #B", "version")
    columns = panels.Columns(order=order, sorted_by="vantage", looks=looks, left_out=["Value #C"])
    return panels.grid(said, *queries, columns=columns)
