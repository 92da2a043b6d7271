"""What is wrong with those who watch: vantages, their targets, their configuration."""

from __future__ import annotations

from tests.deploy.case import LAN, SMTP, Case, asked, lan, vps

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
            "8m": {},
            "11m": {'MailprobeDown{vantage="lan"}': "vantage lan does not answer"},
            "16m": {
                'MailprobeDown{vantage="lan"}': "",
                'MailprobeAbsent{path="inside"}': "nobody watches inside: an outage would go unnoticed",
            },
        },
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
        name="a target that never answered",
        series={
            'up{job="mailprobe",instance="vps:9797"}': "0x120",
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
            "15m": {f"MailprobeStale{{{LAN}}}": "vip/smtp: lan has had no session for five minutes"},
            "22m": {f"MailprobeStale{{{LAN}}}": "", 'MailprobeAbsent{path="vip"}': ""},
        },
    ),
    Case(
        name="sessions cannot be opened",
        vantages=(lan("preserved 4m, unable 20m"),),
        fires={
            "8m": {},
            "12m": {f"MailprobeStale{{{LAN}}}": "vip/smtp: lan cannot open sessions of its own"},
            "19m": {f"MailprobeStale{{{LAN}}}": "", 'MailprobeAbsent{path="vip"}': ""},
        },
    ),
    Case(
        name="sessions cannot be opened, but for one now and then",
        vantages=(lan("preserved 4m" + ", unable 150s, preserved 30s" * 4),),
        fires={"8m": {}, "12m": {f"MailprobeStale{{{LAN}}}": ""}, "15m40s": {f"MailprobeStale{{{LAN}}}": ""}},
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
            "17m": {
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
            "8m50s": {},
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
