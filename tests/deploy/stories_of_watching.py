"""What must not page though it looks like it, and evidence that does not come."""

from __future__ import annotations

from tests.deploy.case import LAN, SMTP, Case, announced, clock, differs, down, drop, endpoints, lan, short
from tests.deploy.story import Vantage

KNOWN = {
    **{f'MailprobeMasked{{path="vip",service="{service}"}}': "" for service in ("smtp", "imaps", "submissions")},
    'MailprobeMasked{path="pushed",service="smtp"}': "",
    'MailprobeSpoofable{path="forged",service="smtp"}': "",
    'MailprobeLoginFailed{path="known",service="imaps"}': "",
    'MailprobeTlsFailed{path="known",service="smtp"}': "",
}
"""What whoever masks on purpose, or knows of it, has silenced."""

AMID_ERRORS = {
    drop(): "",
    'MailprobeNoGreeting{path="vip",service="submissions"}': "",
    'MailprobeServiceError{path="vip",service="submission",vantage="lan"}': "",
}
LIMITED = 'MailprobeRateLimited{path="vip",service="imaps",vantage="lan"}'

NOISE = (
    Case(
        name="a drop that becomes masking and back, with every session, pages all the time, once",
        vantages=(lan("preserved 4m" + ", silent_drop 30s, masked 30s" * 6 + ", preserved 7m"),),
        fires={
            "4m20s": {},
            "5m": {drop(): ""},
            "5m30s": {drop(): "", f"MailprobeMasked{{{SMTP}}}": ""},
            "7m": {drop(): "", f"MailprobeMasked{{{SMTP}}}": ""},
            "9m50s": {drop(): "", f"MailprobeMasked{{{SMTP}}}": ""},
            "16m40s": {},
        },
    ),
    Case(
        name="masked or spoofable on purpose, or failing behind the door: a session that is lost is no page, two are",
        vantages=(
            Vantage(
                name="lan",
                scripts={
                    "vip/smtp": "masked 5m, silent_drop 30s, masked 8m",
                    "vip/imaps": "masked 5m, refused 30s, masked 60s, refused 30s, masked 6m",
                    "vip/submissions": "masked 5m, silent_drop 1m, masked 7m",
                    "forged/smtp": "spoofable 5m, silent_drop 30s, spoofable 8m",
                    "known/smtp": "tls_failed 5m, refused 30s, tls_failed 8m",
                    "known/imaps": "login_failed 5m, silent_drop 30s, login_failed 3m, silent_drop 1m, login_failed 4m",
                    "new/imaps": "preserved 5m, login_failed 30s, silent_drop 30s, preserved 7m",
                },
                misses={28},
            ),
            Vantage(name="cron", scripts={"pushed/smtp": "masked 5m, silent_drop 30s, masked 8m"}, counts=False),
        ),
        fires={
            **{at: KNOWN for at in ("4m50s", "5m", "5m20s")},
            **{
                at: {**KNOWN, **{drop(f'path="{of}"'): "" for of in dropped}}
                for at, dropped in {
                    "5m30s": ('vip",service="submissions', 'new",service="imaps'),
                    "8m10s": ('vip",service="submissions', 'new",service="imaps'),
                    "9m40s": ('vip",service="submissions', 'new",service="imaps', 'known",service="imaps'),
                    "12m40s": ('known",service="imaps',),
                }.items()
            },
        },
    ),
    Case(
        name="of two ports of a service one has a bad session once, and the other's of the same turn is judged later",
        vantages=(
            Vantage(
                name="lan",
                scripts={
                    "vip/smtp": "preserved 4m, silent_drop 30s, preserved 6m",
                    "vip/smtp:2525": "preserved 10m30s",
                    "other/smtp": "preserved 4m, masked 30s, preserved 6m",
                    "other/smtp:2525": "preserved 10m30s",
                },
                takes={"preserved": 12},
            ),
        ),
        fires={
            **{at: {} for at in ("4m20s", "4m30s")},
            **{at: {short(): "", short(path="other"): ""} for at in ("4m50s", "5m30s", "8m")},
        },
    ),
    Case(
        name="masked once, between a drop and a refusal: no proof of masking, and one outage",
        vantages=(lan("preserved 4m, silent_drop 30s, masked 30s, refused 30s, preserved 6m"),),
        fires={"4m50s": {}, "5m20s": {}, "6m": {short(): ""}},
    ),
    Case(
        name="a restart that goes through three verdicts is one outage",
        vantages=(lan("preserved 4m" + ", refused 30s, no_greeting 30s, tls_failed 30s" * 2 + ", preserved 7m"),),
        fires={
            "5m20s": {},
            "5m50s": {f"MailprobeRefused{{{SMTP}}}": ""},
            "6m50s": {
                f"MailprobeRefused{{{SMTP}}}": "",
                f"MailprobeNoGreeting{{{SMTP}}}": "",
                f"MailprobeTlsFailed{{{SMTP}}}": "",
            },
            "13m40s": {},
        },
    ),
    Case(
        name="errors and limits amid an outage end no page; they make none, of one lost session or of none",
        vantages=(
            lan(
                "preserved 4m, silent_drop 2m, service_error 150s, silent_drop 30s, rate_limited 3m, preserved 5m",
                more={
                    "vip/imaps": "preserved 4m, silent_drop 30s, rate_limited 5m, service_error 7m30s",
                    "vip/submission": "service_error 17m",
                    "vip/submissions": "preserved 4m" + ", no_greeting 1m, service_error 1m" * 4 + ", preserved 5m",
                },
            ),
        ),
        fires={
            "4m50s": {drop(): ""},
            **{at: AMID_ERRORS for at in ("8m50s", "9m20s")},
            **{at: {**AMID_ERRORS, LIMITED: "", short(service="imaps"): ""} for at in ("11m50s", "14m50s")},
        },
    ),
    Case(
        name="every other session fails",
        vantages=(lan("preserved 4m" + ", silent_drop 30s, preserved 30s" * 5),),
        fires={"4m20s": {}, "4m50s": {short(): ""}, "5m10s": {drop(): ""}, "8m50s": {drop(): ""}},
    ),
    Case(
        name="one session in three, and one in eight, is refused: the first pages, the other is told and stays told",
        vantages=(
            lan(
                "preserved 4m" + ", refused 30s, preserved 60s" * 7,
                more={"vip/imaps": "preserved 4m" + ", refused 30s, preserved 210s" * 3},
            ),
        ),
        fires={
            "4m20s": {},
            "5m40s": {short(): "", short(service="imaps"): ""},
            **{
                at: {f"MailprobeRefused{{{SMTP}}}": "", short(service="imaps"): ""}
                for at in ("7m10s", "8m10s", "9m10s", "10m", "11m", "12m10s", "13m30s")
            },
        },
    ),
    Case(
        name="two moments with minutes between them",
        vantages=(lan("preserved 2m, silent_drop 30s, preserved 4m, silent_drop 30s, preserved 2m"),),
        fires={"2m20s": {}, "3m": {short(): ""}, "6m50s": {short(): ""}, "7m30s": {short(): ""}},
    ),
    Case(
        name="a restart amid a drop goes on with it",
        vantages=(lan("preserved 4m, silent_drop 2m, gone 20s, silent_drop 5m"),),
        fires={"5m50s": {drop(): ""}, "6m40s": {drop(): ""}, "10m": {drop(): ""}},
    ),
    Case(
        name="one session is lost, and the daemon restarts before the next one, which is well",
        vantages=(lan("preserved 4m, silent_drop 30s, gone 30s, preserved 3m"),),
        fires={"4m20s": {}, "5m20s": {short(): ""}, "7m": {short(): ""}},
    ),
    Case(
        name="single rounds, from a cron job: they have no counters, and page as soon",
        vantages=(
            Vantage(name="cron", scripts={"vip/smtp": "preserved 4m, silent_drop 2m, preserved 7m"}, counts=False),
        ),
        fires={"4m20s": {}, "4m40s": {drop(): ""}, "12m40s": {}},
    ),
)

GOING = (
    Case(
        name="a restart of the daemon",
        vantages=(lan("preserved 4m, gone 1m, preserved 12m"),),
        fires={"4m50s": {}, "5m10s": {}, "10m": {}, "16m": {}},
    ),
    Case(
        name="one session is lost, and the pod is replaced; another one's first scrape comes after its first session",
        vantages=(
            Vantage(
                name="lan",
                scripts={"vip/smtp": "preserved 4m, silent_drop 30s, gone 1m, preserved 21m"},
                has_pods=True,
            ),
        ),
        fires={
            "4m20s": {},
            "5m50s": {short(): "vip/smtp: out for some 90 s within fifteen minutes, seen from lan as silent_drop"},
            "20m": {short(): ""},
            "26m": {},
        },
    ),
    Case(
        name="a path out of the configuration, in the middle of its outage",
        vantages=(lan("preserved 20m", more={"old/smtp": "preserved 3m, silent_drop 3m, removed 14m"}),),
        fires={"5m": {drop('path="old",service="smtp"'): ""}, "13m": {}, "19m": {}},
    ),
)
"""Daemons and paths that go; evaluated each half minute."""

EVIDENCE = (
    Case(
        name="no proof for long",
        vantages=(lan("preserved 1m, unverified 28m, preserved 13m"),),
        fires={
            "24m30s": {},
            "28m": {
                f"MailprobeUnverified{{{LAN}}}": (
                    "vip/smtp: sessions from lan work, but for half an hour none, or hardly any, was found in the logs "
                    "(unverified)"
                )
            },
            "39m": {f"MailprobeUnverified{{{LAN}}}": ""},
            "41m30s": {},
        },
    ),
    Case(
        name="nobody was there for most of half an hour, and the log came back some minutes late",
        vantages=(lan("preserved 10m, gone 24m, unverified 6m, preserved 5m"),),
        fires={
            **{at: {**down(), "MailprobeAbsent{}": ""} for at in ("33m", "39m30s", "40m30s")},
            "44m": down(),
        },
    ),
    Case(
        name="no proof for long, though one session in ten is something else",
        vantages=(
            lan(
                "preserved 1m" + ", unverified 270s, service_error 30s" * 8,
                more={
                    "vip/imaps": "preserved 1m" + ", unverified 270s, refused 30s" * 8,
                    "vip/submission": "preserved 1m" + ", unable 270s, refused 30s" * 2,
                },
            ),
        ),
        fires={
            "24m": {short(service="imaps"): ""},
            **{
                at: {
                    f"MailprobeUnverified{{{LAN}}}": "",
                    'MailprobeUnverified{path="vip",service="imaps",vantage="lan"}': "",
                    short(service="imaps"): "",
                }
                for at in ("35m", "35m50s", "40m50s")
            },
        },
    ),
    Case(
        name="a proof in ten minutes is hardly any, be it of masking; one in four sessions is enough",
        vantages=(
            lan(
                "preserved 1m" + ", unverified 10m, preserved 30s" * 3,
                more={
                    "vip/imaps": "preserved 1m" + ", unverified 90s, preserved 30s" * 16,
                    "vip/submission": "preserved 1m" + ", unverified 11m, masked 30s" * 3,
                },
            ),
        ),
        fires={
            "21m": {},
            "32m": {
                f"MailprobeUnverified{{{LAN}}}": "",
                'MailprobeUnverified{path="vip",service="submission",vantage="lan"}': "",
                short(service="submission"): "",
            },
        },
    ),
    Case(
        name="a source is down, and comes back",
        series={
            'mailprobe_evidence_source_up{vantage="lan",source="file:/var/log/mail.log"}': "1x29 0x60 1x110",
            'mailprobe_build_info{vantage="lan"}': "1x200",
        },
        fires={
            "9m30s": {},
            "11m": {
                'MailprobeEvidenceSourceDown{source="file:/var/log/mail.log",vantage="lan"}': (
                    "lan cannot follow its evidence source file:/var/log/mail.log, or loses it again and again"
                )
            },
            "29m": {'MailprobeEvidenceSourceDown{source="file:/var/log/mail.log",vantage="lan"}': ""},
            "31m": {},
        },
    ),
    Case(
        name="a source that is down for six minutes of eleven is told once",
        series={
            'mailprobe_evidence_source_up{vantage="lan",source="loki"}': "1x29" + " 0x35 1x29" * 3,
            'mailprobe_build_info{vantage="lan"}': "1x200",
        },
        fires={
            f"{minute}m": {'MailprobeEvidenceSourceDown{source="loki",vantage="lan"}': ""}
            for minute in range(12, 34, 3)
        },
    ),
    Case(
        name="a source that is down for four minutes of five, one that is down for one of five, and a new one",
        series={
            'mailprobe_evidence_source_up{vantage="lan",source="loki"}': "1x29" + " 0x23 1x5" * 5,
            'mailprobe_evidence_source_up{vantage="lan",source="syslog"}': "1x29" + " 0x5 1x23" * 5,
            'mailprobe_evidence_source_up{vantage="lan",source="new"}': "_x120 0x60",
            'mailprobe_build_info{vantage="lan"}': "1x180",
        },
        fires={
            "9m30s": {},
            **{
                at: {'MailprobeEvidenceSourceDown{source="loki",vantage="lan"}': ""}
                for at in ("13m", "14m30s", "19m30s", "24m30s")
            },
            "26m": {
                'MailprobeEvidenceSourceDown{source="loki",vantage="lan"}': "",
                'MailprobeEvidenceSourceDown{source="new",vantage="lan"}': "",
            },
        },
    ),
    Case(
        name="clocks of sources: ahead, behind and now and then unknown, within bounds, and set right after a while",
        series={
            clock("ahead"): "8x180",
            clock("behind"): "_x2 " + "-1200x28 stale _x10 " * 4,
            clock("fine"): "-4x180",
            clock("mended"): "90x30 0.01x150",
            clock("unknown since"): "90x80 stale",
            'mailprobe_build_info{vantage="lan"}': "1x180",
        },
        fires={
            "9m": {},
            **{
                at: {
                    'MailprobeEvidenceClockOff{source="ahead",vantage="lan"}': (
                        "ahead is stamped by a clock that is ahead of that of lan, by +8 s"
                    ),
                    'MailprobeEvidenceClockOff{source="behind",vantage="lan"}': (
                        "behind is stamped by a clock that is behind that of lan, by -1200 s"
                    ),
                }
                for at in ("19m", "20m")
            },
            "12m": {
                f'MailprobeEvidenceClockOff{{source="{source}",vantage="lan"}}': ""
                for source in ("ahead", "behind", "unknown since")
            },
        },
    ),
    Case(
        name="a source is silent while sessions work; another is as silent as the drop makes it",
        vantages=(
            lan("preserved 5m" + ", unverified 270s, service_error 30s" * 5),
            Vantage(name="vps", scripts={"vip/smtp": "preserved 5m, silent_drop 25m", "other/smtp": "preserved 30m"}),
        ),
        series={
            'mailprobe_evidence_source_up{vantage="lan",source="loki"}': "1x180",
            'mailprobe_evidence_lines_total{vantage="lan",source="loki"}': "0+5x30 150x150",
            'mailprobe_evidence_source_up{vantage="vps",source="loki"}': "1x180",
            'mailprobe_evidence_lines_total{vantage="vps",source="loki"}': "0+5x30 150x150",
        },
        fires={
            "4m": {},
            "24m": {differs("vps"): ""},
            "27m": {
                'MailprobeEvidenceSourceSilent{source="loki",vantage="lan"}': (
                    "lan has read no line of loki for fifteen minutes, while its sessions work"
                ),
                f"MailprobeUnverified{{{LAN}}}": "",
                differs("vps"): "",
            },
        },
    ),
    Case(
        name="a source that is new, and has not brought a line yet",
        vantages=(lan("preserved 25m"),),
        series={
            'mailprobe_evidence_source_up{vantage="lan",source="loki"}': "_x30 1x120",
            'mailprobe_evidence_lines_total{vantage="lan",source="loki"}': "_x30 0x120",
        },
        fires={
            "11m": {},
            "19m50s": {},
            "25m": {'MailprobeEvidenceSourceSilent{source="loki",vantage="lan"}': ""},
        },
    ),
    Case(
        name="the announcing node has no endpoint at one scrape of every two minutes",
        vantages=(lan("preserved 20m"),),
        series={
            announced("node2"): "1x9",
            endpoints("node2"): "1x3 0 1x4",
        },
        fires={at: {} for at in ("8m", "9m30s", "10m30s", "12m")},
        scrape=120,
    ),
    Case(
        name="the announcing node loses its endpoint for a moment",
        vantages=(lan("preserved 15m"),),
        series={
            announced("node2"): "1x90",
            endpoints("node1"): "0x90",
            endpoints("node2"): "1x29 0x4 1x60",
        },
        fires={"5m40s": {}, "8m": {}},
    ),
)
