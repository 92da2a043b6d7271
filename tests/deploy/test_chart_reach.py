"""Who reaches the daemon, whom it reaches, and what it may read: Services, scrapes, NetworkPolicy, access rules."""

from __future__ import annotations

import re
from typing import Any

import pytest

from probe.service.survey import BOUND
from probe.service.web.probe_endpoint import MARGIN
from probe.sessions.control import CONTROL_SECONDS
from probe.settings.parts import TimeoutSettings
from probe.topology.facts import Subject
from tests.deploy.chart import NAMESPACE, VALUES, Manifest, Values, merged, refusal, render, rendered, values_of
from tests.deploy.promtool import alerts
from tests.kubernetes.rbac import Rule, documented, granted

CONTROLS = 2
"""The most control connections after one failed session (probe/sessions/control.py, CALLS)."""


def _selects(selector: dict[str, str], labels: dict[str, str]) -> bool:
    return selector.items() <= labels.items()


# Services and scrapes


@pytest.mark.parametrize("name", sorted(set(VALUES) - {"account-only"}))
def test_every_service_leads_to_the_daemon_s_ports_and_not_to_the_test_pod(name: str) -> None:
    told = rendered(name)
    template = told.one("Deployment")["spec"]["template"]
    assert _selects(told.one("Deployment")["spec"]["selector"]["matchLabels"], template["metadata"]["labels"])
    ports = template["spec"]["containers"][0]["ports"]
    targets = {port["name"] for port in ports} | {(port["containerPort"], port["protocol"]) for port in ports}
    for service in told.of("Service"):
        assert _selects(service["spec"]["selector"], template["metadata"]["labels"])
        assert not any(_selects(service["spec"]["selector"], pod["metadata"]["labels"]) for pod in told.of("Pod"))
        for port in service["spec"]["ports"]:
            assert port["targetPort"] in targets or (port["targetPort"], port["protocol"]) in targets


def test_the_page_s_port_is_that_of_the_configuration() -> None:
    ports = rendered("web-config").one("Deployment")["spec"]["template"]["spec"]["containers"][0]["ports"]
    assert ports == [{"name": "http", "containerPort": 9843, "protocol": "TCP"}]


def test_syslog_senders_keep_their_addresses() -> None:
    (syslog,) = (one for one in rendered("syslog").of("Service") if one["metadata"]["name"].endswith("-syslog"))
    assert syslog["spec"]["externalTrafficPolicy"] == "Local"
    assert [(port["port"], port["protocol"]) for port in syslog["spec"]["ports"]] == [(5514, "UDP"), (5514, "TCP")]


@pytest.mark.parametrize(
    ("page", "lines", "ports"),
    [
        (":9797", ["udp://10.0.0.1:5514", "udp://10.0.0.2:5514"], [(9797, "TCP"), (5514, "UDP")]),
        (":9797", ["udp://10.0.0.1:5514", "udp://[2001:db8::1]:5514"], [(9797, "TCP"), (5514, "UDP")]),
        ("10.0.0.1:9797", ["tcp://10.0.0.2:9797", "udp://:9797"], [(9797, "TCP"), (9797, "UDP")]),
    ],
    ids=["two for lines", "both families", "the page's"],
)
def test_listeners_on_addresses_of_their_own_may_share_a_port(
    page: str, lines: list[str], ports: list[tuple[int, str]]
) -> None:
    """On the node's network and without a Service for them; the API takes no port of a pod twice."""
    sources = [{"kind": "syslog", "listen": one} for one in lines]
    told = render(merged(values_of("minimal"), {"config": {"web": {"listen": page}, "evidence": {"sources": sources}}}))
    (container,) = told.one("Deployment")["spec"]["template"]["spec"]["containers"]
    assert [(one["containerPort"], one["protocol"]) for one in container["ports"]] == ports


def test_prometheus_scrapes_the_page_once_and_leaves_our_service_label_alone() -> None:
    told = rendered("web-config")
    monitor = told.one("ServiceMonitor")["spec"]
    selected = [
        one for one in told.of("Service") if _selects(monitor["selector"]["matchLabels"], one["metadata"]["labels"])
    ]
    assert [one["metadata"]["name"] for one in selected] == ["mailprobe"]
    (endpoint,) = monitor["endpoints"]
    assert (endpoint["port"], endpoint["scheme"], endpoint["interval"]) == ("http", "https", "15s")
    assert endpoint["relabelings"] == [
        {"action": "labeldrop", "regex": "service"},
        {"targetLabel": "job", "replacement": "mailprobe"},
    ]
    assert endpoint["tlsConfig"]["serverName"] == "probe.example.org"
    assert set(endpoint["basicAuth"]) == {"username", "password"}


@pytest.mark.parametrize(("scraped", "job"), [("serviceMonitor", "relabelings"), ("probeResources", "jobName")])
def test_a_target_is_known_as_mailprobe_s_whatever_the_release_is_called(scraped: str, job: str) -> None:
    """MailprobeDown tells of one that never answered by its job."""
    values = {"fullnameOverride": "smtp-watch", scraped: {"enabled": True}}
    told = render(merged(values_of("minimal"), values))
    (spec,) = [one["spec"] for one in (*told.of("ServiceMonitor"), *told.of("Probe"))]
    named = spec["jobName"] if job == "jobName" else spec["endpoints"][0][job][-1]["replacement"]
    assert named == "mailprobe/smtp-watch"
    (rule,) = [one for one in alerts() if one["alert"] == "MailprobeDown"]
    wanted = re.search(r'job=~"([^"]+)"', rule["expr"])
    assert wanted
    assert re.fullmatch(wanted[1], named)


def test_probe_resources_ask_for_every_endpoint_by_its_service() -> None:
    probes = {one["spec"]["module"]: one["spec"] for one in rendered("probe-resources").of("Probe")}
    assert {module: spec["targets"]["staticConfig"]["static"] for module, spec in probes.items()} == {
        "smtp": ["10.0.20.202:25", "[2001:db8:20::202]:25", "10.0.20.101:30145"],
        "submissions": ["10.0.20.202:465"],
    }
    assert {spec["prober"]["url"] for spec in probes.values()} == {f"mailprobe.{NAMESPACE}.svc:9797"}
    assert {spec["prober"]["path"] for spec in probes.values()} == {"/probe"}


@pytest.mark.parametrize("imprint", ["fingerprint", "deliver"])
@pytest.mark.parametrize(
    "timeouts", [{}, {"session": "1.5m", "evidence": "250 ms"}, {"connect": "2s", "session": "4s"}]
)
def test_a_scrape_waits_for_the_longest_answer_there_is(timeouts: dict[str, str], imprint: str) -> None:
    """A message is waited for as long as lines are, and takes a session more (probe/sessions/open.py, read_back)."""
    limits, sessions = TimeoutSettings.model_validate(timeouts), 2 if imprint == "deliver" else 1
    longest = sessions * limits.session + max(limits.evidence, CONTROLS * CONTROL_SECONDS) + BOUND + MARGIN
    paths = [{"name": "vip", "host": "10.0.20.202", "endpoints": [{"service": "smtp", "imprint": imprint}]}]

    def asked(milliseconds: float) -> Values:
        scrape = {"enabled": True, "interval": "5m", "scrapeTimeout": f"{milliseconds:.0f}ms"}
        config = {"timeouts": timeouts, "paths": paths}
        return merged(values_of("probe-resources"), {"probeResources": scrape, "config": config})

    assert render(asked(1000 * longest)).of("Probe")
    assert f"an answer may take {longest:g}s" in refusal(asked(1000 * longest - 1))


def test_timeouts_out_of_variables_are_not_judged() -> None:
    given = {"environment": [{"name": "T", "secret": "s", "key": "k"}], "config": {"timeouts": {"session": "${T}"}}}
    short = {"probeResources": {"scrapeTimeout": "1s"}}
    assert render(merged(values_of("probe-resources"), given | short)).of("Probe")


# NetworkPolicy


def _reached(policy: Manifest) -> set[tuple[str, int, str]]:
    """(network or "any", port, protocol) of every rule."""
    return {
        (to.get("ipBlock", {}).get("cidr", "any"), port["port"], port["protocol"])
        for rule in policy["spec"]["egress"]
        for port in rule["ports"]
        for to in rule.get("to", [{}])
    }


def test_only_what_the_configuration_names_is_reached() -> None:
    assert _reached(rendered("network-policy").one("NetworkPolicy")) == {
        ("any", 53, "UDP"),
        ("any", 53, "TCP"),
        ("any", 5353, "UDP"),
        ("any", 5353, "TCP"),
        ("10.0.20.202/32", 25, "TCP"),
        ("10.0.20.202/32", 993, "TCP"),
        ("any", 587, "TCP"),
        ("2001:db8:20::202/128", 25, "TCP"),
        ("fe80::1/128", 25, "TCP"),
        ("10.0.20.50/32", 3100, "TCP"),
        ("2001:db8::50/128", 443, "TCP"),
        ("10.0.20.101/32", 30166, "TCP"),
        ("10.0.20.101/32", 30234, "TCP"),
        ("10.0.20.102/32", 30234, "TCP"),
        ("any", 443, "TCP"),
        ("any", 6443, "TCP"),
        ("any", 30000, "TCP"),
        ("any", 8080, "TCP"),
    }


def test_a_node_without_an_address_is_left_to_check_config() -> None:
    nodes: Values = {"config": {"topology": {"nodes": {"k8s-node3": []}}}}
    known = _reached(rendered("network-policy").one("NetworkPolicy"))
    assert _reached(render(merged(values_of("network-policy"), nodes)).one("NetworkPolicy")) == known


def test_only_prometheus_and_the_senders_come_in() -> None:
    (page,) = rendered("network-policy").one("NetworkPolicy")["spec"]["ingress"]
    assert page["ports"] == [{"port": 9797, "protocol": "TCP"}]
    assert page["from"] == [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]
    _, udp, tcp = rendered("syslog").one("NetworkPolicy")["spec"]["ingress"]
    assert udp["from"] == [{"ipBlock": {"cidr": "10.0.20.0/24"}}, {"ipBlock": {"cidr": "10.0.21.5/32"}}]
    assert "from" not in tcp


# Access rules


def test_the_account_has_the_rules_of_the_document_and_no_more() -> None:
    assert granted(rendered("account-only").manifests) == documented()


def test_the_rules_are_what_the_probe_asks_for() -> None:
    asks = [*Subject(namespace="mailserver", service="mailserver").questions().values()]
    asked = {Rule(one.verb, one.group, one.resource, one.namespace, one.name) for one in asks}
    rules = granted(rendered("account-only").manifests)
    assert [ask for ask in asked if not any(rule.allows(ask) for rule in rules)] == []
    logs = {Rule(verb, "", "pods", "mailserver") for verb in ("list", "watch")}
    logs.add(Rule("get", "", "pods/log", "mailserver"))
    assert [rule for rule in rules if not any(rule.allows(ask) for ask in asked | logs)] == []


def test_what_another_cluster_tells_takes_no_rule_here() -> None:
    told = rendered("outside")
    assert granted(told.manifests) == set()
    assert told.of("Role") == told.of("ClusterRole") == []


def test_each_namespace_that_is_there_has_its_own_role() -> None:
    """MetalLB's need not be."""
    roles: dict[str, list[list[Any]]] = {}
    for role in rendered("inside").of("Role"):
        roles.setdefault(role["metadata"]["namespace"], []).append([rule["resources"] for rule in role["rules"]])
    assert roles == {
        "mailserver": [[["pods"], ["pods/log"]], [["services"], ["endpointslices"]]],
        "relay": [[["pods"], ["pods/log"]]],
    }


def test_two_releases_may_read_one_mail_server() -> None:
    names = {
        one["metadata"]["name"] for one in rendered("inside").manifests if one["kind"].startswith(("Role", "Cluster"))
    }
    assert {name.startswith(f"{NAMESPACE}-mailprobe-") for name in names} == {True}


def test_roles_are_bound_to_the_probe_s_account_only() -> None:
    named = merged(values_of("inside"), {"serviceAccount": {"create": False, "name": "mine"}})
    for bindings in (rendered("inside"), render(named)):
        (name,) = {pod["serviceAccountName"] for pod in (one["spec"] for one in bindings.of("Pod"))}
        subjects = [one["subjects"] for one in bindings.manifests if one["kind"].endswith("Binding")]
        assert subjects == [[{"kind": "ServiceAccount", "name": name, "namespace": NAMESPACE}]] * 4
