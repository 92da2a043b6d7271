"""A cordoned node, as kube-state-metrics tells it, beside what vantages see of the drain."""

from __future__ import annotations

from dataclasses import replace

from tests.deploy.case import SMTP, Case, lan

REFUSED = f"MailprobeRefused{{{SMTP}}}"
DROP = f"MailprobeSilentDrop{{{SMTP}}}"
KNOWN = {'MailprobeMasked{path="web",service="smtp"}': "", 'MailprobeLoginFailed{path="web",service="imaps"}': ""}
DRAINED = 'MailprobeMaintenance{node="node1"}'
SAYS = "node1, which has announced mail or had its pod, is being drained"


def cordoned(node: str, values: str, told_by: str = "10.10.1.7:8080") -> dict[str, str]:
    """Whether a node is cordoned, in promtool's notation."""
    return {f'kube_node_spec_unschedulable{{instance="{told_by}",node="{node}"}}': values}


def endpoints(node: str, values: str) -> dict[str, str]:
    return {f'mailprobe_node_local_endpoints{{vantage="lan",node="{node}"}}': values}


def announced(node: str, values: str) -> dict[str, str]:
    return {f'mailprobe_announcer_info{{vantage="lan",node="{node}"}}': values}


def beside_another_cluster(case: Case) -> Case:
    """The same of the cluster `mail`, where a node of the same name is cordoned in another one, for a moment."""
    told = {
        name.replace("unschedulable{", 'unschedulable{cluster="mail",'): values for name, values in case.series.items()
    }
    return replace(case, series={**told, 'kube_node_spec_unschedulable{cluster="staging",node="node1"}': "1x12 0x420"})


DRAINS = (
    Case(
        name="the pod goes, the address goes, and the path is refused for longer than the drain is announced",
        vantages=(lan("preserved 340s, refused 40m"),),
        series={
            **cordoned("node1", "0x29 1x260"),
            **cordoned("node2", "0x290"),
            **endpoints("node1", "1x33 0x256"),
            **endpoints("node2", "0x290"),
            **announced("node1", "1x33 stale"),
            'mailprobe_build_info{vantage="lan"}': "1x290",
        },
        fires={
            "4m50s": {},
            "5m30s": {DRAINED: SAYS},
            "6m": {DRAINED: ""},
            **{at: {DRAINED: ""} for at in ("8m", "20m", "39m50s")},
            "40m30s": {REFUSED: ""},
        },
    ),
    Case(
        name="the drain evicts kube-state-metrics, and goes well; the node is given back",
        series={
            **cordoned("node1", "0x29 1x6 stale"),
            **cordoned("node1", "_x50 1x29 0x100", "10.10.2.9:8080"),
            **endpoints("node1", "1x33 0x150"),
            **endpoints("node2", "0x40 1x140"),
            'mailprobe_build_info{vantage="lan"}': "1x180",
        },
        fires={
            "4m50s": {},
            **{at: {DRAINED: ""} for at in ("5m30s", "6m30s", "8m", "9m", "13m", "23m")},
            "23m40s": {},
        },
    ),
    Case(
        name="an outage is over a minute before the node is given back: it pages nobody, and is no short outage either",
        vantages=(lan("preserved 330s, silent_drop 1m, preserved 510s"),),
        series={
            **cordoned("node1", "0x29 1x14 0x60"),
            **endpoints("node1", "1x90"),
            'mailprobe_build_info{vantage="lan"}': "1x90",
        },
        fires={
            "5m30s": {DRAINED: SAYS},
            **{at: {DRAINED: ""} for at in ("7m", "10m", "11m30s", "17m")},
            "17m30s": {},
        },
    ),
    Case(
        name="a node is cordoned amid an outage: its page goes on, whatever it looks like, and no other one opens",
        vantages=(
            lan(
                "silent_drop 10m, refused 10m, preserved 7m, silent_drop 3m",
                more={"vip/imaps": "preserved 10m, refused 17m, preserved 3m"},
            ),
        ),
        series={**cordoned("node1", "0x29 1x150"), **endpoints("node1", "1x180")},
        fires={
            "4m50s": {DROP: ""},
            "9m": {DRAINED: "", DROP: ""},
            "13m": {DRAINED: "", DROP: "", REFUSED: ""},
            "18m": {DRAINED: "", REFUSED: ""},
            **{at: {DRAINED: ""} for at in ("25m", "29m30s")},
        },
    ),
    Case(
        name="the pod comes back with its node, and serves two minutes after: nobody is told, later either",
        vantages=(lan("preserved 340s, refused 400s, preserved 500s"),),
        series={**cordoned("node1", "0x29 1x29 0x70"), **endpoints("node1", "1x33 0x40 1x60")},
        fires={
            **{at: {DRAINED: ""} for at in ("12m", "14m30s", "16m", "19m30s")},
            **{at: {} for at in ("20m", "22m", "26m")},
        },
    ),
    Case(
        name="beside what is masked or refuses logins for good, and stays a page, a drain that went well pages nobody",
        vantages=(
            lan(
                "preserved 340s, refused 400s, preserved 400s",
                more={
                    "web/smtp": "masked 30m",
                    "web/imaps": "login_failed 340s, tls_failed 150s, silent_drop 1m, login_failed 25m",
                },
            ),
        ),
        series={**cordoned("node1", "0x29 1x29 0x60"), **endpoints("node1", "1x33 0x40 1x60")},
        fires={
            **{at: {DRAINED: "", **KNOWN} for at in ("8m", "14m30s", "17m", "19m")},
        },
    ),
    Case(
        name="with externalTrafficPolicy Cluster another node announces: the pod's is known by its EndpointSlices",
        vantages=(lan("preserved 340s, refused 400s, preserved 200s"),),
        series={
            **cordoned("node1", "0x29 1x65"),
            **cordoned("node2", "0x95"),
            **endpoints("node1", "1x33 stale"),
            **endpoints("node2", "_x75 1x20"),
            **announced("node2", "1x95"),
        },
        fires={"4m50s": {}, **{at: {DRAINED: ""} for at in ("5m30s", "8m", "15m")}},
    ),
    Case(
        name="nodes without mail are cordoned, and one since before this Prometheus; its teller is away for a while",
        series={
            **cordoned("node3", "0x29 1x390"),
            **cordoned("node1", "1x210 _x60 1x150"),
            **endpoints("node3", "0x420"),
            **endpoints("node1", "1x420"),
            **announced("node1", "1x420"),
            'mailprobe_build_info{vantage="lan"}': "1x420",
        },
        fires={**{at: {DRAINED: ""} for at in ("6m", "29m")}, **{at: {} for at in ("32m", "46m", "58m", "66m", "69m")}},
    ),
    Case(
        name="a Prometheus without its storage starts amid a drain and an outage, which end",
        vantages=(lan("silent_drop 5m, preserved 26m"),),
        series={**cordoned("node1", "1x89 0x96"), **endpoints("node1", "1x2 0x90 1x90")},
        fires={**{at: {DRAINED: ""} for at in ("1m30s", "6m", "14m", "24m")}, **{at: {} for at in ("25m30s", "30m")}},
    ),
)
