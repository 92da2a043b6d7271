"""The cluster's objects by way of a Kubernetes API, on the real lab; the logs of its pods are a way of test_ways.py."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kubernetes import objects
from tests.lab import SCENARIOS, Lab, find_all
from tests.lab.addresses import NODES, VIP
from tests.lab.conftest import running_lab

REPOSITORY = Path(__file__).parents[2]

GENERATIONS = [pytest.param(name, marks=pytest.mark.xdist_group(f"kubernetes-{name}")) for name in sorted(find_all())]


@pytest.fixture(scope="module", params=GENERATIONS)
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    with running_lab(request.param) as running:
        yield running


@pytest.mark.parametrize(
    ("scenario", "masked_by", "cause"),
    [
        ("local", None, None),
        ("cluster", "node", "externalTrafficPolicy is Cluster: kube-proxy on k8s-two, which announces"),
        ("drop", None, "is announced by k8s-two, which has no local endpoint; the pod runs on k8s-one"),
    ],
)
def test_the_cluster_s_objects_alone_give_the_cause(
    lab: Lab, tmp_path: Path, scenario: str, masked_by: str | None, cause: str | None
) -> None:
    """Neither networks nor nodes are configured, and from outside nobody sees who announces."""
    announcer = "k8s-one" if scenario == "local" else "k8s-two"
    policy = "Cluster" if scenario == "cluster" else "Local"
    held = {
        "services": [objects.service(policy=policy, ip=VIP.v4)],
        "endpointslices": [objects.endpoint_slice(objects.endpoint("k8s-one"))],
        "nodes": [objects.node("k8s-one", NODES["node1"].v4), objects.node("k8s-two", NODES["node2"].v4)],
        "servicel2statuses": [objects.l2_status(announcer)],
    }
    (tmp_path / "objects.json").write_text(json.dumps(held))
    command = [sys.executable, "-m", "tests.kubernetes", str(tmp_path), "0"]
    api = lab.popen(command, stdout=subprocess.PIPE, cwd=REPOSITORY)
    assert api.stdout is not None
    kubeconfig = api.stdout.readline().strip()
    with lab.in_force(SCENARIOS[scenario]) as case:
        content = json.loads(case.config_file.read_text()) | {"networks": {}}
        service = {"namespace": "mailserver", "service": "mailserver", "kubeconfig": kubeconfig}
        content["topology"] = {"kubernetes": service}
        config = case.config_file.with_name("cluster.yaml")
        config.write_text(json.dumps(content))
        done = lab.probe("--once", "--config", str(config), "--format", "json", timeout=120)
    api.terminate()
    api.wait()
    assert done.stdout, done.stderr
    for session in json.loads(done.stdout)["sessions"]:
        assert session["verdict"] == case.expected[session["service"]].verdict, session
        assert session["masked_by"] == masked_by, session
        assert (cause in session["cause"]) if cause else session["cause"] is None, session
