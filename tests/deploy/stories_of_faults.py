"""What pages, and by whose votes."""

from __future__ import annotations

from dataclasses import replace

from probe.model import MaskedBy
from tests.deploy.case import (
    LAN,
    OF_LAN,
    SMTP,
    Case,
    announced,
    asked,
    differs,
    down,
    drop,
    endpoints,
    lan,
    office,
    short,
    vps,
)
from tests.deploy.story import Vantage

LASTING = {
    "refused": ("MailprobeRefused", "connections are refused"),
    "proxy_header_timeout": (
        "MailprobeProxyHeaderMissing",
        "the listener waits for a PROXY header that does not come",
    ),
    "proxy_header_unexpected": (
        "MailprobeProxyHeaderUnexpected",
        "a PROXY header reaches a listener that wants none",
    ),
    "proxy_header_untrusted": (
        "MailprobeProxyHeaderUntrusted",
        "the listener does not trust whoever sends the PROXY header",
    ),
    "no_greeting": ("MailprobeNoGreeting", "the server takes connections and says nothing"),
    "tls_failed": ("MailprobeTlsFailed", "the TLS handshake or the certificate fails"),
    "login_failed": ("MailprobeLoginFailed", "the probe's own login is refused"),
    "resolve_failed": ("MailprobeResolveFailed", "the name of the path does not resolve"),
}
"""Verdicts that wait a minute: alert and words of its summary."""

DIFFERS_IMAPS = differs().replace("smtp", "imaps")
DIFFERS_SUBMISSION = differs("vps").replace("smtp", "submission")

OTHERS_DRAIN = 'MailprobeMaintenance{path="outside"}'
SERVICES_WITH_LOGIN = ("submission", "imaps")


def logins(service: str, vantage: str) -> str:
    return f'mailprobe_phase_duration_seconds_count{{path="vip",service="{service}",phase="login",vantage="{vantage}"}}'


ERRORS = {
    f'MailprobeServiceError{{path="vip",service="{service}",vantage="lan"}}': (
        f"vip/{service}: the server answers with an error where success was due, again and again (service_error), "
        "seen from lan"
    )
    for service in ("imaps", "submission")
}
"""Warnings of two services."""

ONCE = (*LASTING, "silent_drop", "unannounced", "masked")

VERDICTS = (
    Case(
        name="silent drop pages with its second session, and says why",
        vantages=(lan("preserved 4m, silent_drop 5m, preserved 7m"),),
        series={
            announced("node2"): "1x80",
            endpoints("node1"): "1x80",
            endpoints("node2"): "1x23 0x30 1x90",
        },
        fires={
            "3m50s": {},
            "4m20s": {},
            "4m30s": {
                drop(): "vip/smtp: connections vanish without an answer (silent_drop), seen from lan; "
                "node2 announces and has no local endpoint"
            },
            "5m": {
                drop(): "",
                'MailprobeAnnouncerWithoutEndpoint{node="node2"}': (
                    "node2 announces the mail address and has no local endpoint, seen from lan"
                ),
            },
            "10m30s": {drop(): "", 'MailprobeAnnouncerWithoutEndpoint{node="node2"}': ""},
            "12m50s": {drop(): "", 'MailprobeAnnouncerWithoutEndpoint{node="node2"}': ""},
            "13m40s": {'MailprobeAnnouncerWithoutEndpoint{node="node2"}': ""},
            "15m40s": {},
        },
    ),
    Case(
        name="unannounced pages with its second session",
        vantages=(lan("preserved 4m, unannounced 2m, preserved 7m"),),
        fires={
            "4m20s": {},
            "4m40s": {
                f"MailprobeUnannounced{{{SMTP}}}": ("vip/smtp: nobody answers there (unannounced), seen from lan")
            },
            "12m40s": {},
        },
    ),
    Case(
        name="masked pages with its second session, and names the network",
        vantages=(lan("preserved 4m, masked 2m, preserved 7m", masked_by=MaskedBy.GATEWAY),),
        fires={
            "4m20s": {},
            "4m40s": {
                f"MailprobeMasked{{{SMTP}}}": (
                    "vip/smtp: the server sees the address of another in place of the client's, by network: gateway "
                    "(masked), seen from lan"
                )
            },
            "12m40s": {},
        },
    ),
    Case(
        name="no node has an endpoint",
        vantages=(lan("preserved 4m, refused 5m"),),
        series={endpoints("node1"): "1x23 0x30"},
        fires={
            "8m": {
                f"MailprobeRefused{{{SMTP}}}": (
                    "vip/smtp: connections are refused (refused), seen from lan; no node has a local endpoint"
                )
            },
        },
    ),
    Case(
        name="one proof of a forged header is enough",
        vantages=(lan("preserved 4m, spoofable 2m, preserved 7m"), vps("preserved 13m"), office("preserved 13m")),
        fires={
            "3m50s": {},
            "4m": {
                f"MailprobeSpoofable{{{SMTP}}}": (
                    "vip/smtp: the listener believed a forged PROXY header (spoofable), sent from lan"
                )
            },
            "12m40s": {},
        },
    ),
    Case(
        name="what restarts do for a moment pages after a minute",
        vantages=(
            lan(
                "preserved 13m",
                more={f"{verdict}/smtp": f"preserved 3m, {verdict} 3m, preserved 7m" for verdict in LASTING},
            ),
        ),
        fires={
            "3m30s": {},
            "4m20s": {},
            "5m": {
                f'{alert}{{path="{verdict}",service="smtp"}}': f"{verdict}/smtp: {words} ({verdict}), seen from lan"
                for verdict, (alert, words) in LASTING.items()
            },
            "12m40s": {},
        },
    ),
)

SLOW = (
    Case(name="all is well", vantages=(lan("preserved 12m"),), fires={"30s": {}, "5m": {}, "11m": {}}),
    Case(
        name="the third page within an hour is kept for a quarter of one, one alone is not; another path is drained",
        vantages=(
            lan(
                "preserved 4m"
                + ", silent_drop 1m, preserved 14m" * 2
                + ", silent_drop 1m, service_error 2m, preserved 27m",
                more={"once/smtp": "preserved 4m, silent_drop 1m, preserved 59m"},
            ),
        ),
        series={'ALERTS{alertname="MailprobeMaintenance",alertstate="firing",path="outside"}': "1x390"},
        fires={
            at: {OTHERS_DRAIN: "", **told}
            for at, told in {
                "8m": {drop(): "", drop('path="once",service="smtp"'): ""},
                "9m30s": {},
                **{at: {drop(): ""} for at in ("20m", "35m")},
                **{at: {} for at in ("28m", "33m30s")},
                "51m30s": {drop(): "vip/smtp: connections vanish without an answer (silent_drop), seen from lan"},
                "56m30s": {},
            }.items()
        },
    ),
    Case(
        name="one session of each critical verdict does not page, and does not hide",
        vantages=(
            lan(
                "preserved 20m",
                more={f"{verdict}/smtp": f"preserved 3m, {verdict} 30s, preserved 16m30s" for verdict in ONCE},
            ),
        ),
        fires={
            "3m20s": {},
            "4m": {
                f'MailprobeShortOutage{{path="{verdict}",service="smtp",vantage="lan"}}': (
                    f"{verdict}/smtp: out for some 30 s within fifteen minutes, seen from lan as {verdict}"
                )
                for verdict in ONCE
            },
            "19m30s": {},
        },
    ),
    Case(
        name="rate limited and errors, for long",
        vantages=(
            lan(
                "preserved 2m, masked 2m, rate_limited 10m, preserved 11m",
                more={
                    "vip/imaps": "preserved 4m, service_error 21m",
                    "vip/submission": "preserved 4m"
                    + ", service_error 9m30s, preserved 30s" * 2
                    + ", service_error 1m",
                },
            ),
        ),
        fires={
            "8m": {f"MailprobeMasked{{{SMTP}}}": ""},
            "14m": {
                f"MailprobeMasked{{{SMTP}}}": "",
                f"MailprobeRateLimited{{{LAN}}}": (
                    "vip/smtp: the server refuses for too many connections, again and again "
                    "(rate_limited), seen from lan"
                ),
                **ERRORS,
            },
            "18m30s": {f"MailprobeRateLimited{{{LAN}}}": "", **ERRORS},
            "24m": {
                'MailprobeServiceError{path="vip",service="imaps",severity="critical"}': (
                    "vip/imaps: for a quarter of an hour no session got in, most met an error where success was due "
                    "(service_error), seen from lan"
                ),
                **ERRORS,
            },
        },
    ),
    Case(
        name="rate limited now and then",
        vantages=(lan("preserved 4m, rate_limited 30s, preserved 5m, service_error 1m, preserved 7m"),),
        fires={"9m": {}, "17m": {}},
    ),
)
"""Evaluated each half minute."""

QUORUM = (
    Case(
        name="one of two vantages sees a drop: its own way",
        vantages=(lan("preserved 16m"), vps("preserved 4m, silent_drop 5m, preserved 7m")),
        fires={
            "5m": {},
            "6m": {differs("vps"): "vip/smtp: only vps sees it as silent_drop; other vantages do not"},
            "8m50s": {differs("vps"): ""},
            "15m": {},
        },
    ),
    Case(
        name="logins are refused: who does not log in has no say in it, who does has; nor is another's own TLS a page",
        vantages=(
            lan(
                "preserved 13m",
                more={
                    "vip/submission": "preserved 4m, login_failed 4m30s, tls_failed 30s, login_failed 4m",
                    "vip/imaps": "preserved 4m, login_failed 9m",
                },
            ),
            Vantage(
                name="vps",
                scripts={
                    "vip/submission": "preserved 9m, tls_failed 1m, silent_drop 1m, preserved 2m",
                    "vip/imaps": "unverified 13m",
                },
            ),
        ),
        series={
            **{logins(service, "lan"): "1+1x80" for service in SERVICES_WITH_LOGIN},
            logins("imaps", "vps"): "1+1x80",
        },
        fires={
            "5m": {},
            **{
                at: {'MailprobeLoginFailed{path="vip",service="submission"}': "", DIFFERS_IMAPS: ""}
                for at in ("7m", "9m")
            },
            "12m30s": {
                'MailprobeLoginFailed{path="vip",service="submission"}': "",
                DIFFERS_IMAPS: "vip/imaps: only lan sees it as login_failed; other vantages do not",
                DIFFERS_SUBMISSION: "vip/submission: only vps sees it as silent_drop; other vantages do not",
            },
        },
    ),
    Case(
        name="the other vantage meets a limit, which is no vote that clients get in",
        vantages=(
            lan("preserved 4m, silent_drop 11m", more={"vip/imaps": "preserved 4m, silent_drop 11m"}),
            Vantage(
                name="vps",
                scripts={
                    "vip/smtp": "preserved 4m, rate_limited 11m",
                    "vip/imaps": "preserved 9m, service_error 5m, preserved 1m",
                },
            ),
        ),
        fires={
            "6m": {
                differs(): "vip/smtp: only lan sees it as silent_drop; no other vantage can tell just now",
                DIFFERS_IMAPS: "vip/imaps: only lan sees it as silent_drop; other vantages do not",
            },
            "9m": {differs(): "", DIFFERS_IMAPS: ""},
            "13m30s": {
                drop(): "",
                differs(): "",
                DIFFERS_IMAPS: "",
                f'MailprobeRateLimited{{{SMTP},vantage="vps"}}': "",
            },
        },
    ),
    Case(
        name="both of two see it, each in its own words",
        vantages=(lan("preserved 4m, silent_drop 10m"), vps("preserved 4m, refused 10m")),
        fires={
            "4m40s": {drop(): ""},
            "7m": {drop(): "", f"MailprobeRefused{{{SMTP}}}": ""},
        },
    ),
    Case(
        name="the other vantage cannot open sessions: it has no vote",
        vantages=(lan("preserved 4m, silent_drop 4m"), vps("unable 8m")),
        fires={
            "4m": {},
            "6m": {drop(): "", f'MailprobeStale{{{SMTP},vantage="vps"}}': ""},
        },
    ),
    Case(
        name="the other vantage is gone with the server: a daemon's vote is kept for 3 minutes, that of rounds for 8",
        vantages=(
            lan("preserved 4m, silent_drop 9m", more={"vip/imaps": "preserved 4m, silent_drop 9m"}),
            vps("preserved 4m, gone 9m"),
            Vantage(name="cron", scripts={"vip/imaps": "preserved 4m, gone 9m"}, counts=False),
        ),
        fires={
            "4m50s": {},
            "6m": {
                differs(): "vip/smtp: only lan sees it as silent_drop; no other vantage can tell just now",
                DIFFERS_IMAPS: "vip/imaps: only lan sees it as silent_drop; no other vantage can tell just now",
            },
            "7m30s": {drop(): "", differs(): "", DIFFERS_IMAPS: ""},
            "11m30s": {drop(): "", differs(): "", DIFFERS_IMAPS: "", **down("vps"), **down("cron")},
            "12m50s": {
                drop(): "",
                drop('path="vip",service="imaps"'): "",
                DIFFERS_IMAPS: "",
                **down("vps"),
                **down("cron"),
            },
        },
    ),
    Case(
        name="of the other vantage there is what it pushed last: that votes for 8 minutes after its session",
        vantages=(
            lan("preserved 4m, silent_drop 12m"),
            Vantage(name="cron", scripts={"vip/smtp": "preserved 4m, hung 12m"}, counts=False),
        ),
        fires={"11m": {differs(): ""}, "13m": {drop(): "", differs(): ""}},
    ),
    Case(
        name="the other vantage loses its interface with the outage, and cannot open sessions any more",
        vantages=(lan("preserved 4m, refused 5m"), vps("preserved 4m, unable 5m")),
        fires={
            "6m": {differs(): "vip/smtp: only lan sees it as refused; no other vantage can tell just now"},
            "8m50s": {
                f"MailprobeRefused{{{SMTP}}}": "",
                differs(): "",
                f'MailprobeStale{{{SMTP},vantage="vps"}}': "",
            },
        },
    ),
    Case(
        name="the other vantage hangs with its last good verdict: it has no vote; nor have errors",
        vantages=(
            lan(
                "preserved 4m, silent_drop 24m",
                more={f"{path}/imaps": "preserved 4m, service_error 24m" for path in ("vip", "all", "half")},
            ),
            Vantage(
                name="vps",
                scripts={
                    "vip/smtp": "preserved 4m, hung 24m",
                    "vip/imaps": "preserved 25m, silent_drop 3m",
                    "all/imaps": "preserved 4m, service_error 24m",
                    "half/imaps": "preserved 28m",
                },
            ),
        ),
        series={
            f'mailprobe_phase_duration_seconds_count{{phase="login",path="half",service="imaps",{OF_LAN}}}': "1x200"
        },
        fires={
            "6m": {differs(): ""},
            "27m": {
                drop(): "",
                f'MailprobeStale{{{SMTP},vantage="vps"}}': "vip/smtp: vps has had no session for eight minutes",
                drop('path="vip",service="imaps"'): "",
                **{
                    f'MailprobeServiceError{{path="{path}",service="imaps",{by}}}': ""
                    for path, by in (
                        ("vip", 'vantage="lan"'),
                        ("half", 'vantage="lan"'),
                        ("half", 'severity="critical"'),
                        ("all", 'vantage="lan"'),
                        ("all", 'vantage="vps"'),
                        ("all", 'severity="critical"'),
                    )
                },
            },
        },
    ),
    Case(
        name="a daemon is scraped, and asked for rounds each minute, one of which is lost",
        vantages=(
            lan("preserved 12m"),
            replace(asked("vip/smtp", "preserved 5m, silent_drop 1m, preserved 6m"), interval=60),
        ),
        fires={at: {} for at in ("5m10s", "5m40s", "6m", "6m30s", "10m")},
    ),
    Case(
        name="a file of rounds is left amid an outage, and the daemon of its vantage finds all well afterwards",
        vantages=(
            lan("preserved 4m, silent_drop 3m, preserved 16m"),
            replace(asked("vip/smtp", "preserved 4m, silent_drop 3m, hung 16m"), interval=60),
        ),
        fires={"6m": {drop(): ""}, "20m": {}},
    ),
    Case(
        name="beside a vantage whose own uplink is out another one loses a session, or fails behind the door, twice",
        vantages=(
            lan("preserved 4m, silent_drop 8m", more={"vip/imaps": "preserved 4m, silent_drop 8m"}),
            Vantage(
                name="vps",
                scripts={
                    "vip/smtp": "preserved 8m, silent_drop 30s, preserved 3m30s",
                    "vip/imaps": "preserved 8m, tls_failed 1m, preserved 3m",
                },
            ),
        ),
        fires={
            **{at: {differs(): "", DIFFERS_IMAPS: ""} for at in ("7m", "8m10s", "8m20s")},
            **{
                at: {differs(): "", DIFFERS_IMAPS: "", short("vps"): "", short("vps", "imaps"): ""}
                for at in ("9m", "11m")
            },
        },
    ),
    Case(
        name="behind its own NAT one vantage is masked, and another one's uplink is out for a minute",
        vantages=(
            lan("preserved 2m, masked 10m"),
            vps("preserved 6m, silent_drop 1m, preserved 5m"),
        ),
        fires={
            **{at: {differs(): ""} for at in ("6m", "6m40s")},
            "11m": {differs(): "", f'MailprobeShortOutage{{{SMTP},vantage="vps"}}': ""},
        },
    ),
    Case(
        name="behind its own NAT one vantage is masked, and the other one has no proof any more",
        vantages=(lan("preserved 4m, unverified 6m"), vps("preserved 4m, masked 6m")),
        fires={"8m": {differs("vps"): "vip/smtp: only vps sees it as masked; no other vantage can tell just now"}},
    ),
    Case(
        name="masked, and every other session for minutes without a proof: one page",
        vantages=(lan("preserved 2m, masked 2m, unverified 4m, masked 1m, unverified 7m"),),
        fires={
            **{
                at: {f"MailprobeMasked{{{SMTP}}}": ""}
                for at in ("3m40s", "5m", "7m", "8m", "8m40s", "10m", "11m50s", "15m50s")
            },
            "15m": {
                f"MailprobeMasked{{{SMTP}}}": (
                    "vip/smtp: the server sees the address of another in place of the client's, by network: node "
                    "(masked), seen from lan"
                )
            },
        },
    ),
    Case(
        name="one of three differs, two of three page",
        vantages=(lan("preserved 24m"), vps("preserved 4m, masked 20m"), office("preserved 14m, masked 10m")),
        fires={
            "9m": {differs("vps"): "vip/smtp: only vps sees it as masked; other vantages do not"},
            "15m": {
                f"MailprobeMasked{{{SMTP}}}": (
                    "vip/smtp: the server sees the address of another in place of the client's, by network: node "
                    "(masked), seen from office, vps"
                ),
                differs("vps"): "",
            },
            "22m": {f"MailprobeMasked{{{SMTP}}}": ""},
        },
    ),
    Case(
        name="who proves nothing has no vote on masking",
        vantages=(lan("preserved 5m, masked 5m"), vps("unverified 10m"), office("silent_drop 1m, unverified 9m")),
        fires={"6m": {f"MailprobeMasked{{{SMTP}}}": ""}},
    ),
    Case(
        name="an unverified session that worked votes against a drop",
        vantages=(lan("preserved 5m, silent_drop 5m"), vps("unverified 10m")),
        fires={"6m": {}, "8m": {differs(): ""}},
    ),
    Case(
        name="masked here, broken there",
        vantages=(lan("preserved 5m, masked 6m"), vps("preserved 5m, silent_drop 6m")),
        fires={
            "7m": {differs(): "", differs("vps"): ""},
            "10m30s": {f"MailprobeMasked{{{SMTP}}}": "", differs(): "", differs("vps"): ""},
        },
    ),
    Case(
        name="two paths, each with its own trouble",
        vantages=(lan("preserved 5m, masked 5m", more={"outside/smtp": "preserved 5m, silent_drop 5m"}),),
        fires={
            "6m": {f"MailprobeMasked{{{SMTP}}}": "", drop('path="outside",service="smtp"'): ""},
        },
    ),
)
