"""What is wrong with those who watch: vantages, their targets, their configuration."""

from __future__ import annotations

from tests.deploy.case import LAN, SMTP, Case, asked, down, drop, lan, vps
from tests.deploy.story import Vantage


def watched(vantage: str, path: str, there: str, instance: str = "") -> dict[str, str]:
    """The least of a daemon that lives for hours: itself, a path that is well, and what it counts of it."""
    target = f'instance="{instance or vantage}",job="eyes",vantage="{vantage}"'
    end = f'path="{path}",service="smtp",{target}'
    return {
        f"mailprobe_build_info{{{target}}}": f"{there}",
        f"mailprobe_config_last_reload_successful{{{target}}}": f"{there}",
        f"mailprobe_outage_seconds_total{{{end}}}": f"{there.replace('1x', '0x')}",
        f"mailprobe_last_session_timestamp_seconds{{{end}}}": f"{there.replace('1x', '0+60x')}",
        f'mailprobe_verdict{{verdict="preserved",{end}}}': f"{there}",
        f"mailprobe_up{{{end}}}": f"{there}",
    }


WAN = (
    ("up", "", "1x5 0x390"),
    ("mailprobe_build_info", 'vantage="office"', "1x5 stale"),
    ("mailprobe_last_session_timestamp_seconds", 'path="wan",service="smtp",vantage="office"', "0+60x5 stale"),
)
"""A target of /probe that answers no more, scraped each minute."""

ITSELF = (
    Case(
        name="a path is taken out, then its vantage goes; what it watched until then is watched by another",
        vantages=(
            lan("preserved 7m, gone 14m", more={"old/smtp": "preserved 4m, removed 3m, gone 14m"}),
            vps("preserved 21m"),
        ),
        fires={"20m": {'MailprobeDown{vantage="lan"}': ""}},
    ),
    Case(
        name="a vantage is gone, its paths are watched by another, but one",
        vantages=(
            lan("preserved 4m, gone 20m", more={"inside/smtp": "preserved 4m, gone 20m"}),
            vps("preserved 24m"),
        ),
        fires={
            "7m": {},
            "11m": {'MailprobeDown{vantage="lan"}': "vantage lan does not answer"},
            "16m": {
                'MailprobeDown{vantage="lan"}': "",
                'MailprobeAbsent{path="inside"}': "nobody watches inside: an outage would go unnoticed",
            },
        },
    ),
    Case(
        name="rounds that are pushed end amid an outage: their page is taken back, and another follows",
        vantages=(
            Vantage(name="cron", scripts={"vip/smtp": "preserved 4m, silent_drop 3m, gone 14m"}, counts=False),
            Vantage(
                name="night",
                scripts={"out/smtp": "preserved 7m, gone 14m", "old/smtp": "preserved 4m, removed 3m, gone 14m"},
                counts=False,
            ),
            Vantage(name="vps", scripts={"other/smtp": "preserved 21m"}),
        ),
        fires={
            "6m": {drop(): ""},
            "20m": {
                'MailprobeDown{vantage="cron"}': "",
                'MailprobeDown{vantage="night"}': "",
                'MailprobeAbsent{path="vip"}': "nobody watches vip: an outage would go unnoticed",
                'MailprobeAbsent{path="out"}': "nobody watches out: an outage would go unnoticed",
            },
        },
    ),
    Case(
        name="a trial is pushed of a path that nobody watches, another is deleted; rounds that have gone on are missed",
        vantages=(
            lan("preserved 26m"),
            Vantage(name="laptop", scripts={"trial/smtp": "preserved 1m, hung 25m"}, counts=False),
            Vantage(name="desk", scripts={"old/smtp": "preserved 1m, hung 2m, gone 23m"}, counts=False),
            Vantage(name="cron", scripts={"out/smtp": "preserved 3m, hung 23m"}, counts=False),
        ),
        fires={
            "25m": {
                'MailprobeStale{path="trial",service="smtp",vantage="laptop"}': "",
                'MailprobeStale{path="out",service="smtp",vantage="cron"}': "",
                'MailprobeDown{vantage="desk"}': "",
                'MailprobeAbsent{path="out"}': "nobody watches out: an outage would go unnoticed",
            },
        },
    ),
    Case(
        name="a daemon that is asked for rounds too, and last for them, is gone",
        vantages=(Vantage(name="vps", scripts={"other/smtp": "preserved 21m"}),),
        series={
            **watched("lan", "inside", "1x30 stale"),
            'mailprobe_build_info{job="probe",instance="10.0.20.202:25",vantage="lan"}': "1x31 stale",
        },
        fires={"9m": {}, "18m": {'MailprobeDown{vantage="lan"}': "", 'MailprobeAbsent{path="inside"}': ""}},
    ),
    Case(
        name="nobody is there, nor ever was",
        series={"up": "1x120"},
        fires={"9m": {}, "12m": {"MailprobeAbsent{}": "no mailprobe is there at all: an outage would go unnoticed"}},
    ),
    Case(
        name="the only vantage is gone, for longer than anybody remembers",
        vantages=(lan("preserved 4m, gone 20m"),),
        fires={"16m": {'MailprobeDown{vantage="lan"}': "", "MailprobeAbsent{}": ""}},
    ),
    Case(
        name="a target that never answered; a pod that did not either, and is no more",
        series={
            'up{job="mailprobe",instance="vps:9797"}': "0x120",
            'up{job="mailprobe",instance="10.42.0.9:9797"}': "0x24 stale",
            'up{job="node",instance="vps:9100"}': "0x120",
            'mailprobe_build_info{vantage="lan"}': "1x120",
        },
        fires={
            "4m": {},
            "8m": {
                'MailprobeDown{instance="vps:9797",job="mailprobe"}': (
                    "target vps:9797 of job mailprobe does not answer"
                )
            },
        },
    ),
    Case(
        name="sessions stop: first the endpoint is stale, then nobody watches the path",
        vantages=(lan("preserved 4m, hung 30m", more={"outside/smtp": "preserved 40m"}),),
        fires={
            "12m": {},
            "15m": {f"MailprobeStale{{{LAN}}}": "vip/smtp: lan has had no session for eight minutes"},
            "22m": {f"MailprobeStale{{{LAN}}}": "", 'MailprobeAbsent{path="vip"}': ""},
        },
    ),
    Case(
        name="a vantage comes back after twelve minutes: it is not stale",
        vantages=(
            Vantage(name="lan", scripts={"vip/smtp": "preserved 5m, gone 12m, preserved 8m"}, takes={"preserved": 20}),
            vps("preserved 25m"),
        ),
        fires={at: down() for at in ("17m", "17m30s", "18m", "19m", "20m", "21m")},
    ),
    Case(
        name="sessions cannot be opened",
        vantages=(lan("preserved 4m, unable 20m"),),
        fires={
            "7m": {},
            "10m": {f"MailprobeStale{{{LAN}}}": "vip/smtp: lan cannot open sessions of its own"},
            "19m": {f"MailprobeStale{{{LAN}}}": "", 'MailprobeAbsent{path="vip"}': ""},
        },
    ),
    Case(
        name="sessions cannot be opened, but for one now and then: that is no watch either",
        vantages=(lan("preserved 4m" + ", unable 150s, preserved 30s" * 5),),
        fires={
            "8m": {},
            "12m": {f"MailprobeStale{{{LAN}}}": ""},
            "18m30s": {f"MailprobeStale{{{LAN}}}": "", 'MailprobeAbsent{path="vip"}': ""},
        },
    ),
    Case(
        name="/probe gives no answer any more for one service, and none in time for all of another path",
        vantages=(
            asked("vip/smtp", "preserved 5m, unanswered 25m"),
            asked("vip/imaps", "preserved 30m"),
            asked("outside/smtp", "preserved 5m, unfinished 25m"),
        ),
        fires={
            "9m": {},
            "15m30s": {
                f"MailprobeStale{{{LAN}}}": "vip/smtp: lan has no verdict for most scrapes",
                'MailprobeStale{path="outside",service="smtp",vantage="lan"}': (
                    "outside/smtp: lan has no verdict for most scrapes"
                ),
            },
            "28m": {
                f"MailprobeStale{{{LAN}}}": "",
                'MailprobeStale{path="outside",service="smtp",vantage="lan"}': "",
                'MailprobeAbsent{path="outside"}': "nobody watches outside: an outage would go unnoticed",
            },
        },
    ),
    Case(
        name="every other answer of /probe comes too late: while all is well, and while nobody is greeted",
        vantages=(
            asked("vip/smtp", "preserved 5m" + ", unanswered 1m, no_greeting 1m" * 5),
            asked("vip/imaps", "preserved 5m" + ", unanswered 1m, preserved 1m" * 5),
            asked("vip/submission", "preserved 5m" + ", unfinished 1m, preserved 1m" * 5),
        ),
        fires={
            "7m50s": {},
            **{at: {f"MailprobeNoGreeting{{{SMTP}}}": ""} for at in ("10m10s", "11m30s", "12m50s", "14m10s")},
        },
    ),
    Case(
        name="the daemon that answered /probe is gone",
        vantages=(asked("vip/smtp", "preserved 5m, gone 15m"), asked("vip/imaps", "preserved 5m, gone 15m")),
        fires={
            "9m": {},
            "12m": {'MailprobeDown{vantage="lan"}': ""},
            "19m": {'MailprobeDown{vantage="lan"}': "", "MailprobeAbsent{}": ""},
        },
    ),
    Case(
        name="two daemons of one name; one that two jobs scrape; one that goes on at another address; two by turns",
        series={
            **watched("lan", "vip", "1x180", instance="10.0.20.7:9797"),
            **watched("lan", "vip", "_x30 1x90 stale", instance="10.0.30.7:9797"),
            **watched("vps", "vip", "1x180", instance="10.0.40.7:9797"),
            'mailprobe_config_last_reload_successful{job="more",vantage="vps",instance="10.0.40.7:9797"}': "1x180",
            **watched("pod", "vip", "1x60 stale", instance="10.42.0.7:9797"),
            **watched("pod", "vip", "_x61 1x120", instance="10.42.0.8:9797"),
            **watched("pair", "vip", "1x20 stale _x83 1x74", instance="10.0.50.7:9797"),
            **watched("pair", "vip", "_x21 1x83 stale", instance="10.0.60.7:9797"),
        },
        fires={
            "4m50s": {},
            "19m30s": {},
            "21m": {
                'MailprobeVantageTwice{vantage="lan"}': "2 daemons call themselves lan: 10.0.20.7:9797, 10.0.30.7:9797"
            },
            "29m": {'MailprobeVantageTwice{vantage="lan"}': ""},
        },
    ),
    Case(
        name="a configuration that was not taken, for a moment and for long",
        series={
            'mailprobe_config_last_reload_successful{vantage="lan"}': "1x29 0x30 1x29 0x90",
            'mailprobe_build_info{vantage="lan"}': "1x180",
        },
        fires={
            "9m": {},
            "14m": {},
            "27m": {
                'MailprobeReloadFailed{vantage="lan"}': (
                    "lan did not take its new configuration and goes on with the old one"
                )
            },
        },
    ),
)

HOURS = (
    Case(
        name="for six hours and more a vantage is down, but for a push, a target of /probe too; another is no target",
        scrape=60,
        series={
            **watched("lan", "inside", "1x5 stale _x374 1x25"),
            'up{job="eyes",instance="lan"}': "1x5 0x375 1x25",
            'mailprobe_build_info{job="pushed",instance="pushgateway:9091",vantage="lan"}': "1x407",
            **watched("vps", "outside", "1x5 stale"),
            'up{job="eyes",instance="vps"}': "1x5 stale",
            **watched("office", "vip", "1x407"),
            **{f'{name}{{job="mailprobe",instance="wan",{labels}}}': values for name, labels, values in WAN},
        },
        fires={
            "14m": {'MailprobeDown{vantage="lan"}': "", 'MailprobeDown{vantage="vps"}': ""},
            **{
                at: {
                    'MailprobeDown{vantage="lan"}': "vantage lan does not answer",
                    'MailprobeAbsent{path="inside"}': "nobody watches inside: an outage would go unnoticed",
                    'MailprobeAbsent{path="wan"}': "nobody watches wan: an outage would go unnoticed",
                    'MailprobeStale{path="wan",service="smtp",vantage="office"}': "",
                    **more,
                }
                for at, more in {
                    "30m": {
                        'MailprobeDown{vantage="vps"}': "vantage vps does not answer",
                        'MailprobeAbsent{path="outside"}': "nobody watches outside: an outage would go unnoticed",
                    },
                    "6h19m": {},
                }.items()
            },
            "6h42m": {
                'MailprobeAbsent{path="wan"}': "",
                'MailprobeStale{path="wan",service="smtp",vantage="office"}': "",
            },
        },
    ),
    Case(
        name="a vantage and its path are renamed: the target is there, and watches what it is asked to",
        scrape=60,
        series={
            **watched("host7", "vip", "1x20 stale", instance="10.0.20.7:9797"),
            **watched("lan", "mail", "_x22 1x60", instance="10.0.20.7:9797"),
            'up{instance="10.0.20.7:9797",job="eyes"}': "1x20 0 1x60",
        },
        fires={"25m": {}, **{at: down("host7") for at in ("32m", "40m", "70m")}},
    ),
)
"""Scraped and evaluated each minute, or they would take half a minute to play."""
