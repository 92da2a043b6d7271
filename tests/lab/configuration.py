"""The probe's configuration file for a scenario.  JSON is YAML too, so the standard library is enough."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.lab.addresses import HEALTH_CHECK, LAN_CLIENT, NODES, PASSWORD, ROUTER_LAN, SERVER_NAME, USER, VANTAGE
from tests.lab.certificates import Certificates
from tests.lab.scenario import Scenario, Secret

NETWORKS = {
    "nodes": [f"{address}/{bits}" for node in NODES.values() for address, bits in ((node.v4, 32), (node.v6, 128))],
    "pods": ["10.10.0.0/16", "fd00:10::/32"],
    "gateways": [ROUTER_LAN.v4, ROUTER_LAN.v6],
    "proxies": [],
}
TOPOLOGY = {
    "health_check_node_port": HEALTH_CHECK,
    "nodes": {name: [node.v4, node.v6] for name, node in NODES.items()},
}
VANTAGES = {"vantage": VANTAGE, "lan": LAN_CLIENT, **NODES}
PASSWORDS = {Secret.RIGHT: PASSWORD, Secret.WRONG: "not-" + PASSWORD}


@dataclass(frozen=True, slots=True, kw_only=True)
class LabFiles:
    """What of a lab a configuration refers to."""

    directory: Path
    postfix_log: Path
    dovecot_log: Path
    certificates: Certificates


def write(scenario: Scenario, files: LabFiles) -> Path:
    """Write mailprobe.yaml of the scenario, with its password files beside it."""
    here = files.directory / "probe" / scenario.name
    here.mkdir(parents=True, exist_ok=True)
    for secret, password in PASSWORDS.items():
        (here / secret).write_text(password + "\n")
        (here / secret).chmod(0o600)
    path = here / "mailprobe.yaml"
    path.write_text(json.dumps(_content(scenario, files, here), indent=2) + "\n")
    return path


def _content(scenario: Scenario, files: LabFiles, here: Path) -> dict[str, Any]:
    certificates = files.certificates
    way: dict[str, Any] = {
        "name": scenario.name,
        "host": scenario.host,
        "proxy_header": scenario.proxy_header,
        "endpoints": [_endpoint(scenario, service, here) for service in scenario.expected],
        "tls": {
            "server_name": scenario.server_name or SERVER_NAME,
            "ca_file": str(certificates.ca if scenario.trusts_lab else certificates.other_ca),
            "verify": True,
        },
    }
    if scenario.source_address:
        way["source_address"] = scenario.source_address
    vantage = VANTAGES[scenario.vantage]
    return {
        "vantage": {"name": "lab", "addresses": [scenario.source_address or vantage.v4, vantage.v6]},
        "paths": [way],
        "timeouts": {"connect": "5s", "session": f"{scenario.session_seconds}s", "evidence": "5s"},
        "networks": NETWORKS if scenario.networks is None else {k: list(v) for k, v in scenario.networks.items()},
        "topology": TOPOLOGY,
        "checks": {"spoof": scenario.spoofs},
        "history": {"file": str(here / "history.db")},
        "evidence": {"sources": [{"kind": "file", "path": str(path)} for path in _logs(scenario, files)]},
    }


def _logs(scenario: Scenario, files: LabFiles) -> tuple[Path, ...]:
    return (files.postfix_log, files.dovecot_log) if scenario.reads_logs else ()


def _endpoint(scenario: Scenario, service: str, here: Path) -> dict[str, Any]:
    endpoint: dict[str, Any] = {"service": service, "port": scenario.ports[service]}
    if imprint := scenario.imprints.get(service):
        endpoint["imprint"] = imprint
    secret = scenario.logins.get(service)
    if secret is Secret.WHOAMI:
        endpoint["login"] = {"username": "whoami-probe"}
    elif secret:
        endpoint["login"] = {"username": USER, "password_file": str(here / secret)}
    return endpoint
