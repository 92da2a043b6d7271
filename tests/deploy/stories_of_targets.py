"""Several targets of one vantage, and targets whose labels change: one of them speaks, and nobody's word is told twice.

Rule 1: what somebody left (a push, a file) says the same for ever, of every service of lan's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from tests.deploy.case import LAN, Case, announced, certificate, differs, down, drop, endpoints, lan, short, vps
from tests.deploy.story import Vantage

OF_PUSH = 'instance="pushgateway:9091",job="mailprobe-pushed",vantage="lan"'
OF_OTHERS = 'instance="other:9797",job="mailprobe",vantage="other"'
UNVERIFIED_IMAPS = 'MailprobeUnverified{path="vip",service="imaps",vantage="lan"}'
STALE = f"MailprobeStale{{{LAN}}}"


def left(service: str, verdict: str) -> dict[str, str]:
    """What `probe --once --push` left of a round an hour ago."""
    own = f'path="vip",service="{service}",{OF_PUSH}'
    return {
        **{
            f'mailprobe_verdict{{verdict="{one}",{own}}}': f"{int(one == verdict)}x300"
            for one in ("preserved", "masked", "unverified", "rate_limited")
        },
        f"mailprobe_last_session_timestamp_seconds{{{own}}}": "-3600x300",
        f"mailprobe_up{{{own}}}": "1x300",
        f'mailprobe_masked_by{{network="gateway",{own}}}': f"{int(verdict == 'masked')}x300",
        f"mailprobe_tls_certificate_expiry_timestamp_seconds{{{own}}}": "86400x300",
    }


def relabelled(
    series: Mapping[str, str], job: str, *, first: int = 0, last: int | None = None, more: str = ""
) -> dict[str, str]:
    """Samples from `first` on and before `last`, under other labels; before them are none, and none after."""
    told = {}
    for name, values in series.items():
        samples = values.split()
        there = samples[first:last] + ["stale"] * (last is not None)
        told[re.sub(r'job="\w+"', f'job="{job}"', name).replace("}", f"{more}}}")] = " ".join(["_"] * first + there)
    return told


def known_from(minute: int, vantage: Vantage) -> dict[str, str]:
    """What a Prometheus has of a daemon that is older."""
    return {name: " ".join(values.split()[minute * 6 :]) for name, values in vantage.series().items()}


RENAMED = known_from(30, lan("silent_drop 2m, preserved 48m"))
REPLICATED = Vantage(
    name="lan", scripts={"vip/smtp": "preserved 5m, unfinished 15m"}, counts=False, target="10.0.20.202:25", interval=60
).series()

TARGETS = (
    Case(
        name="a daemon ends for good before the rules that remember it were ever worked out",
        vantages=(vps("preserved 16m"),),
        series={
            'up{instance="new:9797",job="mailprobe"}': "_ 1x1 0x90",
            'mailprobe_build_info{instance="new:9797",job="mailprobe",vantage="new"}': "_ 1x1 stale",
            'mailprobe_config_last_reload_successful{instance="new:9797",job="mailprobe",vantage="new"}': "_ 1x1 stale",
        },
        fires={
            "5m": {},
            "14m": {
                'MailprobeDown{instance="new:9797",job="mailprobe"}': "target new:9797 of job mailprobe does not answer"
            },
        },
    ),
    Case(
        name="beside the daemon there is what was pushed once: another verdict, another certificate, another node",
        vantages=(
            lan(
                "preserved 5m, unable 33m",
                more={
                    "vip/imaps": "preserved 1m, unverified 37m",
                    "vip/submission": "preserved 38m",
                    "vip/submissions": "preserved 33m, masked 5m",
                },
            ),
            vps("preserved 5m, silent_drop 33m"),
        ),
        series={
            **left("smtp", "preserved"),
            **left("imaps", "preserved"),
            **left("submission", "rate_limited"),
            **left("submissions", "masked"),
            **{certificate(service): "7776000x300" for service in ("smtp", "imaps", "submission", "submissions")},
            announced("node1", OF_PUSH): "1x300",
            endpoints("node1", OF_PUSH): "0x300",
        },
        fires={
            "4m": {},
            "9m30s": {drop(): "", differs("vps"): ""},
            "20m": {drop(): "vip/smtp: connections vanish without an answer (silent_drop), seen from vps", STALE: ""},
            "37m": {
                drop(): "",
                STALE: "",
                UNVERIFIED_IMAPS: "",
                'MailprobeMasked{path="vip",service="submissions"}': (
                    "vip/submissions: the server sees the address of another in place of the client's, by network: "
                    "node (masked), seen from lan"
                ),
            },
        },
    ),
    Case(
        name="a daemon is gone, and what was pushed once of one of its paths is still there",
        vantages=(
            lan("preserved 5m, gone 17m", more={"inside/smtp": "preserved 5m, gone 17m"}),
            vps("preserved 22m"),
        ),
        series={**left("smtp", "preserved"), f"mailprobe_build_info{{{OF_PUSH}}}": "1x300"},
        fires={
            "9m": {},
            "21m": {
                **down(),
                STALE: "vip/smtp: lan has had no session for eight minutes",
                'MailprobeAbsent{path="inside"}': "",
            },
        },
    ),
    Case(
        name="a round of /probe is lost, and four minutes later a session of the daemon: two failovers, no outage",
        vantages=(
            lan(
                "preserved 9m, silent_drop 30s, preserved 9m",
                more={"vip/imaps": "preserved 9m, masked 30s, preserved 9m"},
            ),
            Vantage(
                name="lan",
                scripts={
                    "vip/smtp": "preserved 5m, silent_drop 5m, preserved 9m",
                    "vip/imaps": "preserved 5m, masked 5m, preserved 9m",
                },
                counts=False,
                target="10.0.20.202",
                interval=300,
            ),
        ),
        fires={at: {short(): "", short(service="imaps"): ""} for at in ("10m", "12m", "16m")},
    ),
    Case(
        name="a daemon has another job now: what it counted half an hour ago is not told anew",
        series={**relabelled(RENAMED, "mailprobe", last=30), **relabelled(RENAMED, "eyes", first=30)},
        fires={at: {} for at in ("6m", "12m", "18m")},
    ),
    Case(
        name="a Prometheus is new to a daemon that saw other things long ago",
        series=known_from(30, lan("masked 1m, refused 1m, preserved 33m, silent_drop 30s, preserved 9m30s")),
        fires={
            "4m": {},
            "8m": {short(): "vip/smtp: out for some 30 s within fifteen minutes, seen from lan as silent_drop"},
        },
    ),
    Case(
        name="two replicas of a target of /probe",
        series={
            **relabelled(REPLICATED, "mailprobe", more=',replica="a"'),
            **relabelled(REPLICATED, "mailprobe", more=',replica="b"'),
        },
        fires={
            "9m": {},
            "15m": {STALE: "vip/smtp: lan has no verdict for most scrapes"},
            "18m": {STALE: "", 'MailprobeAbsent{path="vip"}': ""},
        },
    ),
    Case(
        name="the first trial of a probe, without evidence, ends after a minute",
        vantages=(lan("unverified 1m, gone 18m"),),
        fires={"4m": {}, **{at: {**down(), "MailprobeAbsent{}": ""} for at in ("12m", "15m")}},
    ),
    Case(
        name="a drop seen from where no topology is known, while another mail system has trouble of its own",
        vantages=(
            lan("preserved 2m, silent_drop 6m", more={"vip/imaps": "preserved 2m, refused 6m"}),
            Vantage(name="other", scripts={"far/smtp": "preserved 8m"}),
        ),
        series={announced("far1", OF_OTHERS): "1x50", endpoints("far1", OF_OTHERS): "0x50"},
        fires={
            "6m": {
                drop(): "vip/smtp: connections vanish without an answer (silent_drop), seen from lan",
                'MailprobeRefused{path="vip",service="imaps"}': (
                    "vip/imaps: connections are refused (refused), seen from lan"
                ),
                'MailprobeAnnouncerWithoutEndpoint{node="far1"}': "",
            }
        },
    ),
    Case(
        name="who is alone with masking says so where the latest session proves nothing",
        vantages=(lan("preserved 2m, masked 4m, unverified 4m"), vps("preserved 10m")),
        fires={"8m": {differs(): "vip/smtp: only lan sees it as masked; other vantages do not"}},
    ),
)
"""Evaluated each half minute."""
