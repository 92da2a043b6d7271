"""Objects of the Kubernetes API -> facts about the cluster. Pure.

Rules:
- What an object does not say is not known, but for what the API's documentation says it means: an endpoint whose slice
  does not say otherwise is ready and not terminating, a node is not cordoned.
- An address that is none is passed over, and so is whatever else is not of the documented form.
- MetalLB's word on who announces names the Service and not the address: with several addresses and several nodes it
  tells nothing. Who may announce is known only where every L2Advertisement that may concern the address is understood.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any

from probe.kubernetes.objects import number, part, parts, text
from probe.model import Address, Announcer, Network, PodEndpoint, Policy, plain_address

_OWN_ADDRESSES = ("InternalIP", "ExternalIP")
_TUNNELS = tuple(f"projectcalico.org/IPv{version}{kind}TunnelAddr" for version in (4, 6) for kind in ("IPIP", "VXLAN"))
_POOL = ("metallb.io/ip-allocated-from-pool", "metallb.universe.tf/ip-allocated-from-pool")
_HAS_VALUE = {"In": True, "NotIn": False}
_EXISTS = {"Exists": True, "DoesNotExist": False}


@dataclass(frozen=True, kw_only=True, slots=True)
class ServiceObject:
    """What a Service says. None where it has no such thing. `pool`: the MetalLB pool that its address is out of."""

    policy: Policy | None
    ports: tuple[int, ...]
    health_check_node_port: int | None
    addresses: tuple[Address, ...]
    pool: str


@dataclass(frozen=True, kw_only=True, slots=True)
class NodeObject:
    """What a Node says. `tunnels` are addresses that Calico's overlay gave it."""

    name: str
    addresses: tuple[Address, ...]
    tunnels: tuple[Address, ...]
    pods: tuple[Network, ...]
    cordoned: bool
    labels: Mapping[str, Any]


def service_of(said: object) -> ServiceObject:
    """Read a Service."""
    spec, annotations = part(said, "spec"), part(said, "metadata", "annotations")
    policy = text(spec, "externalTrafficPolicy")
    ingress = [text(one, "ip") for one in parts(part(said, "status", "loadBalancer"), "ingress")]
    external = spec.get("externalIPs")
    return ServiceObject(
        policy=Policy(policy) if policy in [*Policy] else None,
        ports=tuple(number(one, "port") for one in parts(spec, "ports")),
        health_check_node_port=number(spec, "healthCheckNodePort") or None,
        addresses=_addresses([*ingress, *(external if isinstance(external, list) else [])]),
        pool=next((found for key in _POOL if (found := text(annotations, key))), ""),
    )


def node_of(said: object) -> NodeObject:
    """Read a Node."""
    metadata, spec = part(said, "metadata"), part(said, "spec")
    own = [one for one in parts(part(said, "status"), "addresses") if text(one, "type") in _OWN_ADDRESSES]
    cidrs = spec.get("podCIDRs")
    return NodeObject(
        name=text(metadata, "name"),
        addresses=_addresses(text(one, "address") for one in own),
        tunnels=_addresses(text(part(metadata, "annotations"), key) for key in _TUNNELS),
        pods=networks_of(cidrs if isinstance(cidrs, list) else [spec.get("podCIDR")]),
        cordoned=spec.get("unschedulable") is True,
        labels=part(metadata, "labels"),
    )


def endpoints_of(slices: Iterable[object]) -> tuple[PodEndpoint, ...]:
    """Every endpoint of these EndpointSlices."""
    return tuple(_endpoint(one) for slice_ in slices for one in parts(slice_, "endpoints"))


def _endpoint(said: dict[str, Any]) -> PodEndpoint:
    conditions, held = part(said, "conditions"), said.get("addresses")
    ready = conditions.get("ready") is not False
    return PodEndpoint(
        address=next(iter(_addresses(held if isinstance(held, list) else [])), None),
        pod=text(part(said, "targetRef"), "name") or None,
        node=text(said, "nodeName") or None,
        ready=ready,
        serving=ready if conditions.get("serving") is None else conditions["serving"] is True,
        terminating=conditions.get("terminating") is True,
    )


def announcers_of(statuses: Iterable[object], namespace: str, name: str) -> tuple[Announcer, ...]:
    """The nodes that announce a Service, by MetalLB's ServiceL2Status objects."""
    mine = [
        status
        for status in (part(said, "status") for said in statuses)
        if (text(status, "serviceNamespace"), text(status, "serviceName")) == (namespace, name)
    ]
    return tuple(dict.fromkeys(Announcer(node) for status in mine if (node := text(status, "node"))))


def may_announce(advertisements: Sequence[object], pool: str, nodes: Sequence[NodeObject]) -> tuple[str, ...] | None:
    """The nodes that L2Advertisements allow to announce an address out of this pool; None where that is not known."""
    allowed: set[str] = set()
    for advertisement in advertisements:
        spec = part(advertisement, "spec")
        concerned = _concerns(spec, pool)
        selected = _selected(parts(spec, "nodeSelectors"), nodes)
        if concerned is None or selected is None:
            return None
        allowed |= selected if concerned else set()
    return tuple(node.name for node in nodes if node.name in allowed) if advertisements else None


def _concerns(spec: dict[str, Any], pool: str) -> bool | None:
    """Whether an L2Advertisement is about this pool; None where that would take more than its name."""
    pools = spec.get("ipAddressPools") or []
    if pool and isinstance(pools, list) and pool in pools and not spec.get("serviceSelectors"):
        return True
    if spec.get("ipAddressPoolSelectors") or spec.get("serviceSelectors"):
        return None
    if not pools:
        return True
    return False if pool else None


def _selected(selectors: Sequence[dict[str, Any]], nodes: Sequence[NodeObject]) -> set[str] | None:
    """The nodes that any of these label selectors fits; without a selector all."""
    if not selectors:
        return {node.name for node in nodes}
    fits = [(node.name, [_fits(selector, node.labels) for selector in selectors]) for node in nodes]
    if any(None in told for _, told in fits):
        return None
    return {name for name, told in fits if any(told)}


def _fits(selector: dict[str, Any], labels: Mapping[str, Any]) -> bool | None:
    """Whether a label selector fits; None for an operator that is not known."""
    exact = part(selector, "matchLabels")
    told = [_requirement(one, labels) for one in parts(selector, "matchExpressions")]
    if None in told:
        return None
    return all(labels.get(key) == value for key, value in exact.items()) and all(told)


def _requirement(said: dict[str, Any], labels: Mapping[str, Any]) -> bool | None:
    key, operator, values = text(said, "key"), text(said, "operator"), said.get("values")
    if operator in _EXISTS:
        return (key in labels) is _EXISTS[operator]
    if operator in _HAS_VALUE and isinstance(values, list):
        return (labels.get(key) in values) is _HAS_VALUE[operator]
    return None


def networks_of(cidrs: Iterable[object]) -> tuple[Network, ...]:
    """The CIDRs among these, each once."""
    found: dict[Network, None] = {}
    for cidr in cidrs:
        with suppress(ValueError):
            found[ip_network(cidr if isinstance(cidr, str) else "", strict=False)] = None
    return tuple(found)


def _addresses(written: Iterable[object]) -> tuple[Address, ...]:
    found: dict[Address, None] = {}
    for one in written:
        with suppress(ValueError):
            found[plain_address(one if isinstance(one, str) else "")] = None
    return tuple(found)
