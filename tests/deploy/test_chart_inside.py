"""Whether the chart says so where it is installed in the cluster that it probes.

`helm template` contacts nobody, so what `lookup` finds is shown by an installation with --dry-run=server against an API
on loopback. It answers discovery and the two lists; the chart is there without its manifests, for which Helm would want
OpenAPI schemas too.
"""

from __future__ import annotations

import json
import re
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import helm_python
import pytest
import yaml

from tests.deploy.chart import CHART, NAMESPACE, VALUES, Values, merged, render, rendered, values_of

WARNING = "WARNING: the probe seems to run inside the cluster that it probes."
RESOURCES = [("services", "Service", True), ("nodes", "Node", False)]
SERVICE = {
    "metadata": {"name": "mailserver", "namespace": "mail"},
    "spec": {"clusterIPs": ["10.96.0.9"], "externalIPs": ["10.0.20.210"]},
    "status": {"loadBalancer": {"ingress": [{"ip": "10.0.20.202"}, {"hostname": "mail.example.org"}]}},
}
BESIDE = {"metadata": {"name": "beside", "namespace": NAMESPACE}, "spec": {}}
WAITING = {"metadata": {"name": "new", "namespace": "mail"}, "spec": {}, "status": {"loadBalancer": {}}}
ADDRESSES = [{"type": "InternalIP", "address": "10.0.20.101"}, {"type": "Hostname", "address": "k8s-node1"}]
NODE = {"metadata": {"name": "k8s-node1"}, "status": {"addresses": ADDRESSES}}


@dataclass
class ScriptedApi:
    """What the API has; a kind in `forbidden` may not be listed."""

    server: ThreadingHTTPServer
    forbidden: set[str] = field(default_factory=set)

    @property
    def kubeconfig(self) -> str:
        cluster = {"name": "c", "cluster": {"server": f"http://127.0.0.1:{self.server.server_port}"}}
        context = {"name": "c", "context": {"cluster": "c", "user": "c"}}
        named = {"clusters": [cluster], "contexts": [context], "users": [{"name": "c", "user": {}}]}
        return yaml.safe_dump({"apiVersion": "v1", "kind": "Config", "current-context": "c", **named})

    def answer(self, path: str) -> tuple[int, dict[str, Any]]:
        """Status and body."""
        kind = path.rpartition("/")[2]
        if kind in self.forbidden:
            message = f'{kind} is forbidden: User "deployer" cannot list resource "{kind}" at the cluster scope'
            return 403, {"kind": "Status", "status": "Failure", "reason": "Forbidden", "code": 403, "message": message}
        pages: dict[str, dict[str, Any]] = {
            "/version": {"major": "1", "minor": "36", "gitVersion": "v1.36.0"},
            "/api": {"kind": "APIVersions", "versions": ["v1"]},
            "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": []},
            "/api/v1": {
                "kind": "APIResourceList",
                "groupVersion": "v1",
                "resources": [
                    {"name": name, "singularName": "", "namespaced": namespaced, "kind": kind, "verbs": ["get", "list"]}
                    for name, kind, namespaced in RESOURCES
                ],
            },
            "/api/v1/services": _list("Service", [SERVICE, WAITING, BESIDE]),
            "/api/v1/nodes": _list("Node", [NODE]),
        }
        return (200, pages[path]) if path in pages else (404, {"kind": "Status", "status": "Failure", "code": 404})


def _list(kind: str, items: list[dict[str, Any]]) -> dict[str, Any]:
    whole = [{"apiVersion": "v1", "kind": kind, **item} for item in items]
    return {"kind": f"{kind}List", "apiVersion": "v1", "metadata": {}, "items": whole}


@pytest.fixture
def api() -> Iterator[ScriptedApi]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = scripted.answer(self.path.partition("?")[0])
            text = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        scripted = ScriptedApi(server)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield scripted
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def notes_only(tmp_path_factory: pytest.TempPathFactory) -> Path:
    to = tmp_path_factory.mktemp("chart") / "mailprobe"
    shutil.copytree(CHART, to, ignore=shutil.ignore_patterns("files"))
    for manifest in (to / "templates").rglob("*.yaml"):
        manifest.unlink()
    return to


def probing(host: str) -> Values:
    values = values_of("minimal")
    return merged(values, {"config": {"paths": [{"name": "vip", "host": host, "endpoints": [{"service": "smtp"}]}]}})


def notes(api: ScriptedApi, chart: Path, values: Values) -> str:
    with helm_python.Config(kubeconfig_content=api.kubeconfig, namespace=NAMESPACE, storage_driver="memory") as config:
        return str(config.install(chart, "mailprobe", values, dry_run="server", namespace=NAMESPACE)["notes"])


@pytest.mark.parametrize(
    ("host", "whose"),
    [
        ("10.0.20.202", "the Service mail/mailserver"),
        ("mail.example.org", "the Service mail/mailserver"),
        ("10.0.20.210", "the Service mail/mailserver"),
        ("10.96.0.9", "the Service mail/mailserver"),
        ("10.0.20.101", "the node k8s-node1"),
        ("Mail.Example.org.", "the Service mail/mailserver"),
        ("mailserver.mail", "the Service mail/mailserver"),
        ("beside", f"the Service {NAMESPACE}/beside"),
        ("K8s-Node1", "the node k8s-node1"),
    ],
)
def test_an_address_of_the_cluster_is_recognised(host: str, whose: str, api: ScriptedApi, notes_only: Path) -> None:
    said = notes(api, notes_only, probing(host))
    assert WARNING in said
    assert f"path vip leads to {host}, which is {whose} of this cluster." in said


@pytest.mark.parametrize("host", ["10.0.20.203", "mailserver", "mailserver.example", "beside.mail"])
def test_an_address_elsewhere_is_no_reason(host: str, api: ScriptedApi, notes_only: Path) -> None:
    assert WARNING not in notes(api, notes_only, probing(host))


@pytest.mark.parametrize(
    ("host", "said"),
    [
        ("mailserver.mailserver.svc.cluster.local", True),
        ("mailserver.mailserver.SVC", True),
        ("mailserver.mailserver.svc.home.example.", True),
        ("mailserver-0.headless.mailserver.svc", True),
        ("10-10-1-5.mailserver.pod.cluster.local", True),
        ("mail.svc.example.org", False),
        ("svc.example.org", False),
        ("mail.example.org", False),
    ],
)
def test_a_name_of_the_cluster_s_own_is_recognised_without_asking(host: str, said: bool) -> None:  # noqa: FBT001 - a table
    told = render(probing(host) | {"lookup": False}).notes
    assert (WARNING in told) is said
    assert (f"path vip leads to {host}, a name that only the DNS of this cluster knows." in told) is said


@pytest.mark.parametrize("kind", ["services", "nodes"])
def test_whoever_may_not_list_can_leave_the_look_up_out(kind: str, api: ScriptedApi, notes_only: Path) -> None:
    api.forbidden.add(kind)
    with pytest.raises(helm_python.HelmError, match=f"cannot list resource .{kind}"):
        notes(api, notes_only, probing("10.0.20.202"))
    assert WARNING not in notes(api, notes_only, probing("10.0.20.202") | {"lookup": False})


def test_what_is_read_with_the_pod_s_own_account_is_of_this_cluster() -> None:
    """Without asking anybody."""
    by_name = {name: rendered(name).notes for name in VALUES}
    warned = {name for name, said in by_name.items() if WARNING in said}
    assert warned == {"inside", "everything-named", "looks-like-numbers"}
    assert "the Service mailserver/mailserver is of this cluster" in by_name["inside"]
    assert "config.evidence.sources[2] is read with the pod's own account" in by_name["inside"]


def test_notes_tell_the_next_steps() -> None:
    said = {name: rendered(name).notes for name in VALUES}
    assert "port-forward service/mailprobe 9797:9797" in said["minimal"]
    assert "port-forward service/mailprobe 9797:443     # then https://127.0.0.1:9797/" in said["web-config"]
    assert "create token mailprobe --duration" in said["account-only"]
    assert "jsonpath='{.status.expirationTimestamp}{\"\\n\"}'" in said["account-only"]
    assert "When it ends, the kubeconfig does" in said["account-only"]
    assert {name for name, text in said.items() if "nothing ties the pod to a node" in text} == {"inside", "variables"}
    assert not [name for name, text in said.items() if "<no value>" in text]


def test_a_rule_for_drains_wants_a_topology() -> None:
    enabled = {"maintenanceRule": {"enabled": True}}
    assert "config.topology is empty" in render(merged(values_of("minimal"), enabled)).notes
    assert "config.topology is empty" not in render(merged(values_of("inside"), enabled)).notes
    assert not [name for name in VALUES if "config.topology is empty" in rendered(name).notes]


def test_a_scrape_that_can_hardly_be_answered_is_told() -> None:
    said = render(values_of("web-config") | {"scrape": {"scheme": "http", "tlsConfig": {}, "basicAuth": {}}}).notes
    assert "no scrape is answered: say so in scrape (scheme, tlsConfig, basicAuth)." in said
    assert not [name for name in VALUES if "no scrape is answered" in rendered(name).notes]


def test_a_source_address_wants_its_node() -> None:
    path = {"name": "vip", "host": "10.0.20.202", "source_address": "192.168.1.10", "endpoints": [{"service": "smtp"}]}
    anywhere = merged(values_of("minimal"), {"config": {"paths": [path]}})
    assert "nothing ties the pod to that node (nodeSelector)" in render(anywhere).notes
    tied = anywhere | {"nodeSelector": {"kubernetes.io/hostname": "outpost"}}
    assert "nothing ties" not in render(tied).notes + rendered("minimal").notes


def test_an_open_page_is_told() -> None:
    said = {name: rendered(name).notes for name in VALUES}
    assert "It is open on the node. TLS and users: config.web.config_file (docs/http.md)." in said["minimal"]
    assert "All of this cluster reaches it." in said["openshift"]
    closed = {name for name, text in said.items() if "may read the page" not in text}
    assert closed == {"account-only", "web-config", "network-policy"}
    assert "or a networkPolicy whose `from` says who may (docs/http.md)." in said["syslog"]
    abroad = render(merged(values_of("network-policy"), {"service": {"type": "LoadBalancer"}})).notes
    assert "The Service is open beyond this cluster." in abroad


def test_lines_from_anybody_are_told() -> None:
    said = {name: re.findall(r"NOTE: (\S+) takes lines from whoever", rendered(name).notes) for name in VALUES}
    assert {name: told for name, told in said.items() if told} == {
        "looks-like-numbers": ["config.evidence.sources[1]"],
        "syslog": ["config.evidence.sources[1]"],
    }


@pytest.mark.parametrize(
    ("listen", "said"),
    [("192.168.5.7:9797", True), ("[2001:db8::7]:9797", True), (":9797", False), ("0.0.0.0:9797", False)],
)
def test_one_address_of_a_node_is_said_to_be_no_other_than_the_kubelet_s(listen: str, *, said: bool) -> None:
    told = render(merged(values_of("minimal"), {"config": {"web": {"listen": listen}}})).notes
    assert ("the pod is ended again and again" in told) is said
