"""kube-proxy's rules (iptables mode) for the mail service, as text for iptables-restore.  Pure.

Rule 1: one text per node and family replaces the node's whole nat and filter tables, so a switch is atomic.
Rule 2: the text follows the chains of a real kube-proxy 1.36: KUBE-SERVICES, -EXT, -SVC, -SEP, MARK-MASQ,
        POSTROUTING, EXTERNAL-SERVICES.  What a node does depends on the policy, on whether it has the pod, and on
        whether anybody has it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from tests.lab.addresses import POD, POD_PORTS, TUNNEL, VIP

MARK = "0x4000/0x4000"


class Policy(StrEnum):
    """externalTrafficPolicy of the Service."""

    LOCAL = "Local"
    CLUSTER = "Cluster"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRules:
    """All that one node's kube-proxy knows about the Service."""

    policy: Policy
    any_endpoint: bool
    local_endpoint: bool
    tunnel: bool = False
    ipv6: bool = False

    def restore_text(self) -> str:
        return "\n".join([*self._nat(), *self._filter(), ""])

    def _pick(self, v4: str, v6: str) -> str:
        return v6 if self.ipv6 else v4

    @property
    def _forwards(self) -> bool:
        return self.any_endpoint and (self.policy is Policy.CLUSTER or self.local_endpoint)

    def _nat(self) -> Iterator[str]:
        yield from ("*nat", ":PREROUTING ACCEPT", ":INPUT ACCEPT", ":OUTPUT ACCEPT", ":POSTROUTING ACCEPT")
        yield from (":KUBE-SERVICES -", ":KUBE-POSTROUTING -", ":KUBE-MARK-MASQ -")
        yield "-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000"
        yield f"-A KUBE-POSTROUTING -m mark ! --mark {MARK} -j RETURN"
        yield "-A KUBE-POSTROUTING -j MARK --set-xmark 0x4000/0x0"
        yield f"-A KUBE-POSTROUTING {self._masquerade()}"
        yield "-A PREROUTING -j KUBE-SERVICES"
        yield "-A OUTPUT -j KUBE-SERVICES"
        yield "-A POSTROUTING -j KUBE-POSTROUTING"
        for port in sorted(POD_PORTS) if self._forwards else ():
            yield from self._service(port)
        yield "COMMIT"

    def _masquerade(self) -> str:
        if self.tunnel:
            return f"-j SNAT --to-source {self._pick(TUNNEL.v4, TUNNEL.v6)} --random-fully"
        return "-j MASQUERADE --random-fully"

    def _service(self, port: int) -> Iterator[str]:
        vip = self._pick(f"{VIP.v4}/32", f"{VIP.v6}/128")
        pod = self._pick(f"{POD.v4}:{port}", f"[{POD.v6}]:{port}")
        yield from (f":KUBE-EXT-{port} -", f":KUBE-SVC-{port} -", f":KUBE-SEP-{port} -")
        yield f"-A KUBE-SERVICES -d {vip} -p tcp -m tcp --dport {port} -j KUBE-EXT-{port}"
        if self.policy is Policy.CLUSTER:
            yield f"-A KUBE-EXT-{port} -j KUBE-MARK-MASQ"
        else:
            yield f"-A KUBE-EXT-{port} -m addrtype --src-type LOCAL -j KUBE-MARK-MASQ"
        yield f"-A KUBE-EXT-{port} -j KUBE-SVC-{port}"
        yield f"-A KUBE-SVC-{port} -j KUBE-SEP-{port}"
        yield f"-A KUBE-SEP-{port} -p tcp -m tcp -j DNAT --to-destination {pod}"

    def _filter(self) -> Iterator[str]:
        yield from (
            "*filter",
            ":INPUT ACCEPT",
            ":FORWARD ACCEPT",
            ":OUTPUT ACCEPT",
            ":KUBE-EXTERNAL-SERVICES -",
        )
        for hook in ("INPUT", "FORWARD"):
            yield f"-A {hook} -m conntrack --ctstate NEW -j KUBE-EXTERNAL-SERVICES"
        for port in sorted(POD_PORTS) if not self._forwards else ():
            vip = self._pick(f"{VIP.v4}/32", f"{VIP.v6}/128")
            yield f"-A KUBE-EXTERNAL-SERVICES -d {vip} -p tcp -m tcp --dport {port} {self._refusal()}"
        yield "COMMIT"

    def _refusal(self) -> str:
        if self.any_endpoint:
            return '-m comment --comment "has no local endpoints" -j DROP'
        return '-m comment --comment "has no endpoints" -j REJECT --reject-with ' + self._pick(
            "icmp-port-unreachable", "icmp6-port-unreachable"
        )
