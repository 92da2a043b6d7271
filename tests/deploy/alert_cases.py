"""What must page and what must not: stories, and all that fires at moments of them.

Rule 1: a moment names every alert that fires then, and with that all that do not.
Rule 2: every alert has a story in which it fires, with its whole summary, and one with the same metrics in which it
        does not; tests/deploy/test_alerts.py counts them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from probe.model import MaskedBy
from tests.deploy.story import Vantage

SMTP = 'path="vip",service="smtp"'
LAN = f'{SMTP},vantage="lan"'


@dataclass(frozen=True, kw_only=True)
class Case:
    """`fires`: at each moment the alerts, by name and labels, with their summaries (empty: not compared)."""

    name: str
    fires: Mapping[str, Mapping[str, str]]
    vantages: tuple[Vantage, ...] = ()
    series: Mapping[str, str] = field(default_factory=dict)


def lan(script: str, *, masked_by: MaskedBy = MaskedBy.NODE, **more: str) -> Vantage:
    """The only vantage, or the first of several."""
    return Vantage(name="lan", scripts={"vip/smtp": script, **_paths(more)}, masked_by=masked_by)


def vps(script: str, **more: str) -> Vantage:
    return Vantage(name="vps", scripts={"vip/smtp": script, **_paths(more)})


def office(script: str) -> Vantage:
    return Vantage(name="office", scripts={"vip/smtp": script})


def _paths(more: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("__", "/"): script for name, script in more.items()}


def drop(labels: str = SMTP) -> str:
    return f"MailprobeSilentDrop{{{labels}}}"


def short(vantage: str = "lan") -> str:
    return f'MailprobeShortOutage{{{SMTP},vantage="{vantage}"}}'


def differs(vantage: str = "lan") -> str:
    return f'MailprobeVantageDiffers{{{SMTP},vantage="{vantage}"}}'


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

ONCE = (*LASTING, "silent_drop", "unannounced", "masked")

VERDICTS = (
    Case(name="all is well", vantages=(lan("preserved 20m"),), fires={"30s": {}, "10m": {}, "19m": {}}),
    Case(
        name="silent drop pages with its second session, and says why",
        vantages=(lan("preserved 4m, silent_drop 5m, preserved 20m"),),
        series={
            'mailprobe_announcer_info{vantage="lan",node="node2"}': "1x180",
            'mailprobe_node_local_endpoints{vantage="lan",node="node1"}': "1x180",
            'mailprobe_node_local_endpoints{vantage="lan",node="node2"}': "1x23 0x30 1x90",
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
                    "node2 announces the mail address and has no local endpoint"
                ),
            },
            "10m30s": {drop(): "", 'MailprobeAnnouncerWithoutEndpoint{node="node2"}': ""},
            "12m": {},
            "24m": {},
        },
    ),
    Case(
        name="unannounced pages with its second session",
        vantages=(lan("preserved 4m, unannounced 5m, preserved 20m"),),
        fires={
            "4m20s": {},
            "4m40s": {
                f"MailprobeUnannounced{{{SMTP}}}": (
                    "vip/smtp: nobody answers for the address (unannounced), seen from lan"
                )
            },
            "12m": {},
        },
    ),
    Case(
        name="masked pages with its second session, and names the network",
        vantages=(lan("preserved 4m, masked 5m, preserved 20m", masked_by=MaskedBy.GATEWAY),),
        fires={
            "4m20s": {},
            "4m40s": {
                f"MailprobeMasked{{{SMTP}}}": (
                    "vip/smtp: the server sees the address of another in place of the client's, by network: gateway "
                    "(masked), seen from lan"
                )
            },
            "12m": {},
        },
    ),
    Case(
        name="no node has an endpoint",
        vantages=(lan("preserved 4m, refused 5m"),),
        series={'mailprobe_node_local_endpoints{vantage="lan",node="node1"}': "1x23 0x30"},
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
        vantages=(lan("preserved 4m, spoofable 5m, preserved 10m"), vps("preserved 19m"), office("preserved 19m")),
        fires={
            "3m50s": {},
            "4m": {
                f"MailprobeSpoofable{{{SMTP}}}": (
                    "vip/smtp: the listener believed a forged PROXY header (spoofable), sent from lan"
                )
            },
            "12m": {},
        },
    ),
    Case(
        name="what restarts do for a moment pages after a minute",
        vantages=(
            lan(
                "preserved 10m",
                **{f"{verdict}__smtp": f"preserved 3m, {verdict} 3m, preserved 4m" for verdict in LASTING},
            ),
        ),
        fires={
            "3m30s": {},
            "4m20s": {},
            "5m": {
                f'{alert}{{path="{verdict}",service="smtp"}}': f"{verdict}/smtp: {words} ({verdict}), seen from lan"
                for verdict, (alert, words) in LASTING.items()
            },
            "9m": {},
        },
    ),
    Case(
        name="one session of each critical verdict does not page, and does not hide",
        vantages=(
            lan(
                "preserved 20m",
                **{f"{verdict}__smtp": f"preserved 3m, {verdict} 30s, preserved 16m30s" for verdict in ONCE},
            ),
        ),
        fires={
            "3m20s": {},
            "4m": {
                f'MailprobeShortOutage{{path="{verdict}",service="smtp",vantage="lan"}}': (
                    f"{verdict}/smtp: out for some 30 s within fifteen minutes, seen from lan: {verdict} (over by now)"
                )
                for verdict in ONCE
            },
            "19m30s": {},
        },
    ),
    Case(
        name="rate limited and errors, for long",
        vantages=(lan("preserved 4m, rate_limited 10m, preserved 20m", vip__imaps="preserved 4m, service_error 30m"),),
        fires={
            "8m": {},
            "14m": {
                f"MailprobeRateLimited{{{LAN}}}": (
                    "vip/smtp: the server refuses for too many connections, again and again "
                    "(rate_limited), seen from lan"
                ),
                'MailprobeServiceError{path="vip",service="imaps",vantage="lan"}': (
                    "vip/imaps: the server answers with an error where success was due, again and again "
                    "(service_error), seen from lan"
                ),
            },
            "29m": {'MailprobeServiceError{path="vip",service="imaps",vantage="lan"}': ""},
        },
    ),
    Case(
        name="rate limited now and then",
        vantages=(lan("preserved 4m, rate_limited 30s, preserved 5m, service_error 1m, preserved 15m"),),
        fires={"9m": {}, "17m": {}, "30m": {}},
    ),
)

QUORUM = (
    Case(
        name="one of two vantages sees a drop: its own way",
        vantages=(lan("preserved 24m"), vps("preserved 4m, silent_drop 5m, preserved 15m")),
        fires={
            "5m": {},
            "6m": {differs("vps"): "vip/smtp: only vps sees it as silent_drop; other vantages do not"},
            "8m50s": {differs("vps"): ""},
            "23m": {},
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
        name="the other vantage is gone: it has no vote",
        vantages=(lan("preserved 4m, silent_drop 3m"), vps("preserved 4m, gone 3m")),
        fires={"4m50s": {drop(): ""}},
    ),
    Case(
        name="the other vantage hangs with its last good verdict: it has no vote",
        vantages=(lan("preserved 4m, silent_drop 20m"), vps("preserved 4m, hung 20m")),
        fires={
            "6m": {differs(): ""},
            "23m": {
                drop(): "",
                f'MailprobeStale{{{SMTP},vantage="vps"}}': "vip/smtp: vps has had no session for five minutes",
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
            "5m50s": {f"MailprobeMasked{{{SMTP}}}": ""},
            "10m": {f"MailprobeMasked{{{SMTP}}}": "", differs("vps"): ""},
        },
    ),
    Case(
        name="two paths, each with its own trouble",
        vantages=(lan("preserved 5m, masked 5m", outside__smtp="preserved 5m, silent_drop 5m"),),
        fires={
            "6m": {f"MailprobeMasked{{{SMTP}}}": "", drop('path="outside",service="smtp"'): ""},
        },
    ),
)

NOISE = (
    Case(
        name="a drop that becomes masking and back, with every session, pages all the time",
        vantages=(lan("preserved 4m" + ", silent_drop 30s, masked 30s" * 6 + ", preserved 10m"),),
        fires={
            "4m20s": {},
            "5m": {drop(): "", f"MailprobeMasked{{{SMTP}}}": ""},
            "7m": {drop(): "", f"MailprobeMasked{{{SMTP}}}": ""},
            "9m50s": {drop(): "", f"MailprobeMasked{{{SMTP}}}": ""},
            "13m": {},
        },
    ),
    Case(
        name="a restart that goes through three verdicts is one outage",
        vantages=(lan("preserved 4m" + ", refused 30s, no_greeting 30s, tls_failed 30s" * 2 + ", preserved 10m"),),
        fires={
            "5m20s": {},
            "5m50s": {f"MailprobeRefused{{{SMTP}}}": ""},
            "6m50s": {
                f"MailprobeRefused{{{SMTP}}}": "",
                f"MailprobeNoGreeting{{{SMTP}}}": "",
                f"MailprobeTlsFailed{{{SMTP}}}": "",
            },
            "12m": {},
        },
    ),
    Case(
        name="every other session fails",
        vantages=(lan("preserved 4m" + ", silent_drop 30s, preserved 30s" * 5),),
        fires={"4m20s": {}, "4m50s": {short(): ""}, "5m10s": {drop(): ""}, "8m50s": {drop(): ""}},
    ),
    Case(
        name="a restart of the daemon",
        vantages=(lan("preserved 4m, gone 1m, preserved 12m"),),
        fires={"4m50s": {}, "5m10s": {}, "10m": {}, "16m": {}},
    ),
    Case(
        name="a restart amid a drop goes on with it",
        vantages=(lan("preserved 4m, silent_drop 2m, gone 20s, silent_drop 5m"),),
        fires={"5m50s": {drop(): ""}, "6m40s": {drop(): ""}, "10m": {drop(): ""}},
    ),
    Case(
        name="a path out of the configuration, in the middle of its outage",
        vantages=(lan("preserved 20m", old__smtp="preserved 3m, silent_drop 3m, removed 14m"),),
        fires={"5m": {drop('path="old",service="smtp"'): ""}, "9m": {}, "19m": {}},
    ),
    Case(
        name="single rounds, from a cron job: they have no counters",
        vantages=(
            Vantage(name="cron", scripts={"vip/smtp": "preserved 4m, silent_drop 5m, preserved 10m"}, counts=False),
        ),
        series={'mailprobe_build_info{vantage="cron"}': "1x150"},
        fires={"4m50s": {}, "5m10s": {drop(): ""}, "12m": {}},
    ),
)

EVIDENCE = (
    Case(
        name="no proof for long",
        vantages=(lan("preserved 5m, unverified 50m, preserved 5m"),),
        fires={
            "34m": {},
            "36m": {
                f"MailprobeUnverified{{{LAN}}}": (
                    "vip/smtp: sessions from lan work, but for at least a quarter of an hour none was found in the logs "
                    "(unverified)"
                )
            },
            "57m": {},
        },
    ),
    Case(
        name="a proof now and then",
        vantages=(lan("preserved 5m" + ", unverified 10m, preserved 30s" * 5),),
        fires={"36m": {}, "55m": {}},
    ),
    Case(
        name="a source is down, and comes back",
        series={
            'mailprobe_evidence_source_up{vantage="lan",source="file:/var/log/mail.log"}': "1x29 0x60 1x90",
            'mailprobe_build_info{vantage="lan"}': "1x180",
        },
        fires={
            "9m30s": {},
            "11m": {
                'MailprobeEvidenceSourceDown{source="file:/var/log/mail.log",vantage="lan"}': (
                    "lan cannot follow its evidence source file:/var/log/mail.log"
                )
            },
            "22m": {},
        },
    ),
    Case(
        name="a source is silent while sessions work; another is as silent as the drop makes it",
        vantages=(lan("preserved 5m, unverified 25m"), vps("preserved 5m, silent_drop 25m")),
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
                differs("vps"): "",
            },
        },
    ),
    Case(
        name="the announcing node loses its endpoint for a moment",
        series={
            'mailprobe_announcer_info{vantage="lan",node="node2"}': "1x90",
            'mailprobe_node_local_endpoints{vantage="lan",node="node1"}': "0x90",
            'mailprobe_node_local_endpoints{vantage="lan",node="node2"}': "1x29 0x4 1x60",
            'mailprobe_build_info{vantage="lan"}': "1x90",
        },
        fires={"5m40s": {}, "8m": {}},
    ),
    Case(
        name="certificates with three weeks, ten days, two days, and none left",
        series={
            f'mailprobe_tls_certificate_expiry_timestamp_seconds{{path="vip",service="{service}",vantage="lan"}}': f"{ends}x150"
            for service, ends in {
                "smtp": 1_814_400,
                "imaps": 864_000,
                "submission": 172_800,
                "submissions": -86_400,
            }.items()
        }
        | {'mailprobe_build_info{vantage="lan"}': "1x150"},
        fires={
            "14m": {},
            "20m": {
                'MailprobeCertificateExpiring{path="vip",service="imaps",severity="warning"}': (
                    "vip/imaps: the certificate expires in 9d 23h 40m 0s"
                ),
                'MailprobeCertificateExpiring{path="vip",service="submission",severity="critical"}': (
                    "vip/submission: the certificate expires in 1d 23h 40m 0s"
                ),
                'MailprobeCertificateExpiring{path="vip",service="submissions",severity="critical"}': (
                    "vip/submissions: the certificate has expired"
                ),
            },
        },
    ),
)

ITSELF = (
    Case(
        name="a vantage is gone, its paths are watched by another, but one",
        vantages=(
            lan("preserved 4m, gone 20m", inside__smtp="preserved 4m, gone 20m"),
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
        vantages=(lan("preserved 4m, hung 30m", outside__smtp="preserved 40m"),),
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

CASES = (*VERDICTS, *QUORUM, *NOISE, *EVIDENCE, *ITSELF)
