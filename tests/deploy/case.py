"""One story of what vantages see, and all that fires at moments of it.

Rule 1: a moment names every alert that fires then, and with that all that do not.
Rule 2: every alert has a story in which it fires, with its whole summary, and a moment in it at which it does not;
        tests/deploy/test_alerts.py counts them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from probe.model import MaskedBy
from tests.deploy.story import SCRAPE, Vantage

SMTP = 'path="vip",service="smtp"'
LAN = f'{SMTP},vantage="lan"'


@dataclass(frozen=True, kw_only=True)
class Case:
    """`fires`: at each moment the alerts, by name and labels, with their summaries (empty: not compared).

    `scrape`: seconds between samples, which need not meet the evaluations.
    """

    name: str
    fires: Mapping[str, Mapping[str, str]]
    vantages: tuple[Vantage, ...] = ()
    series: Mapping[str, str] = field(default_factory=dict)
    scrape: int = SCRAPE


def lan(script: str, *, masked_by: MaskedBy = MaskedBy.NODE, more: Mapping[str, str] | None = None) -> Vantage:
    """The only vantage, or the first of several. `more`: scripts of other endpoints."""
    return Vantage(name="lan", scripts={"vip/smtp": script, **(more or {})}, masked_by=masked_by)


def vps(script: str) -> Vantage:
    return Vantage(name="vps", scripts={"vip/smtp": script})


def office(script: str) -> Vantage:
    return Vantage(name="office", scripts={"vip/smtp": script})


def asked(name: str, script: str) -> Vantage:
    """One service of a path of lan's, of which Prometheus asks /probe for rounds."""
    return Vantage(name="lan", scripts={name: script}, counts=False, target=f"10.0.20.202:{name}")


OF_LAN = 'instance="lan:9797",job="mailprobe",vantage="lan"'
"""Labels of what Prometheus scrapes of lan's daemon."""


def certificate(service: str) -> str:
    return f'mailprobe_tls_certificate_expiry_timestamp_seconds{{path="vip",service="{service}",{OF_LAN}}}'


def announced(node: str, target: str = OF_LAN) -> str:
    return f'mailprobe_announcer_info{{node="{node}",{target}}}'


def endpoints(node: str, target: str = OF_LAN) -> str:
    return f'mailprobe_node_local_endpoints{{node="{node}",{target}}}'


def clock(source: str) -> str:
    return f'mailprobe_evidence_clock_offset_seconds{{source="{source}",vantage="lan"}}'


def drop(labels: str = SMTP) -> str:
    return f"MailprobeSilentDrop{{{labels}}}"


def short(vantage: str = "lan", service: str = "smtp", path: str = "vip") -> str:
    return f'MailprobeShortOutage{{path="{path}",service="{service}",vantage="{vantage}"}}'


def down(vantage: str = "lan") -> dict[str, str]:
    return {f'MailprobeDown{{vantage="{vantage}"}}': ""}


def differs(vantage: str = "lan") -> str:
    return f'MailprobeVantageDiffers{{{SMTP},vantage="{vantage}"}}'
