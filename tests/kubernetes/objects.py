"""Objects of a cluster with a mail server, in the forms that its API documents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.kubernetes.cluster import NAMESPACE, Cluster

VIP = "10.0.20.202"
SERVICE = "mailserver"
METALLB = "metallb-system"

Object = dict[str, Any]


def named(name: str, namespace: str = "", **more: Any) -> Object:
    return {"name": name, **({"namespace": namespace} if namespace else {}), **more}


def service(policy: str | None = "Local", ip: str | None = VIP, pool: str = "mail", **spec: Any) -> Object:
    annotations = {"metallb.io/ip-allocated-from-pool": pool} if pool else {}
    fields: Object = {"type": "LoadBalancer", "ports": [{"port": port} for port in (25, 465, 587, 993)], **spec}
    if policy:
        fields["externalTrafficPolicy"] = policy
    if policy == "Local":
        fields.setdefault("healthCheckNodePort", 30234)
    status = {"loadBalancer": {"ingress": [{"ip": ip}]} if ip else {}}
    return {"metadata": named(SERVICE, NAMESPACE, annotations=annotations), "spec": fields, "status": status}


def endpoint(node: str, *, ready: bool = True, terminating: bool = False, pod: str = "mailserver-0") -> Object:
    return {
        "addresses": ["10.10.1.5"],
        "conditions": {"ready": ready, "serving": ready or terminating, "terminating": terminating},
        "nodeName": node,
        "targetRef": {"kind": "Pod", "name": pod},
    }


def endpoint_slice(*endpoints: Object, of: str = SERVICE) -> Object:
    labels = {"kubernetes.io/service-name": of}
    return {"metadata": named(f"{of}-abc12", NAMESPACE, labels=labels), "endpoints": list(endpoints)}


def node(name: str, address: str, *, cordoned: bool = False, **metadata: Any) -> Object:
    spec = {"podCIDR": "10.244.1.0/24", "podCIDRs": ["10.244.1.0/24"]} | ({"unschedulable": True} if cordoned else {})
    addresses = [{"type": "InternalIP", "address": address}, {"type": "Hostname", "address": name}]
    return {"metadata": named(name, **metadata), "spec": spec, "status": {"addresses": addresses}}


def l2_status(node: str, of: str = SERVICE) -> Object:
    status = {"node": node, "serviceName": of, "serviceNamespace": NAMESPACE, "interfaces": []}
    return {"metadata": named(f"l2-{node}", METALLB), "spec": {}, "status": status}


def advertisement(*selectors: Object, pools: Sequence[str] = (), **spec: Any) -> Object:
    fields = {"nodeSelectors": list(selectors)} | ({"ipAddressPools": list(pools)} if pools else {}) | spec
    return {"metadata": named("mail", METALLB), "spec": fields}


def ip_pool(cidr: str) -> Object:
    return {"metadata": named("default"), "spec": {"cidr": cidr}}


NODES = (node("k8s-node2", "10.0.20.102"), node("k8s-node3", "10.0.20.103"))


def with_objects(cluster: Cluster, **held: Sequence[Object]) -> Cluster:
    """The Service and its surroundings; each kind can be given anew. By default the announcing node has no pod."""
    groups = {
        "services": ("", [service()]),
        "endpointslices": ("discovery.k8s.io", [endpoint_slice(endpoint("k8s-node3"))]),
        "nodes": ("", NODES),
        "servicel2statuses": ("metallb.io", [l2_status("k8s-node2")]),
        "l2advertisements": ("metallb.io", [advertisement()]),
        "ippools": ("crd.projectcalico.org", [ip_pool("10.10.0.0/16")]),
    }
    for resource, (group, default) in groups.items():
        cluster.objects[group, resource] = list(held.get(resource, default))
    return cluster
