"""Links, addresses and routes of the lab, and the switch from one network state to another while it runs.

Rule 1: the wiring is a table of scripts, one per namespace, run once.
Rule 2: a state is a value; applying it sets everything it names, so the order of states does not matter.
Rule 3: a switch takes effect at once: neighbour tables and connection tracking are emptied with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tests.lab import namespaces
from tests.lab.addresses import (
    BACKGROUND,
    LAN_CLIENT,
    NODES,
    POD,
    PROXY_DOWN,
    PROXY_FORGETS_HEADER,
    PROXY_HEADER,
    PROXY_PLAIN,
    PROXY_UNWANTED_HEADER,
    ROUTER_LAN,
    ROUTER_OUTSIDE,
    VANTAGE,
    VANTAGE_NAMED,
    VANTAGE_UNTRUSTED,
    VIP,
    Address,
)
from tests.lab.kubeproxy import NodeRules, Policy

POD_HOST = "node1"
"""Where the pod is unless a state says otherwise; it has a leg to every node, and one of them is its way."""

LEGS = {"node1": "eth0", "node2": "eth1"}
# (one end, its interface, other end, its interface)
LINKS = (
    ("vantage", "eth0", "router", "outside"),
    ("router", "lan", "lan", "port1"),
    ("node1", "eth0", "lan", "port2"),
    ("node2", "eth0", "lan", "port3"),
    *(("pod", leg, node, "pod0") for node, leg in LEGS.items()),
)
SYSCTLS = """
for scope in all default; do
  echo 0 > /proc/sys/net/ipv4/conf/$scope/rp_filter
  echo 0 > /proc/sys/net/ipv4/conf/$scope/send_redirects
  echo 0 > /proc/sys/net/ipv6/conf/$scope/accept_dad
  echo 0 > /proc/sys/net/ipv6/conf/$scope/dad_transmits
  echo 0 > /proc/sys/net/ipv6/conf/$scope/accept_ra
done
"""
# Linux grants a client about one ICMP error a second.  Who probes many ports at once would be told of some only.
FORWARDING = """
echo 1 > /proc/sys/net/ipv4/ip_forward
echo 1 > /proc/sys/net/ipv6/conf/all/forwarding
echo 0 > /proc/sys/net/ipv4/icmp_ratelimit
echo 0 > /proc/sys/net/ipv6/icmp/ratelimit
"""
# Proxy ARP answers for the pod's gateway, which is nobody's address; the default delay is up to 0.8 s.
PROXY_ARP = """
echo 1 > /proc/sys/net/ipv4/conf/pod0/proxy_arp
echo 0 > /proc/sys/net/ipv4/neigh/pod0/proxy_delay
"""
# Who looks for a neighbour gives up after three tries.  At the usual second between them that falls together with the
# third SYN (1 s + 2 s), which restarts the search and swallows the error; a little sooner, everybody is told.
GIVE_UP = """
echo 900 > /proc/sys/net/ipv4/neigh/{device}/retrans_time_ms
echo 900 > /proc/sys/net/ipv6/neigh/{device}/retrans_time_ms
"""
SPECIAL = {
    **dict.fromkeys(LEGS, PROXY_ARP),
    "router": GIVE_UP.format(device="lan"),
    "lan": GIVE_UP.format(device="br0"),
}
# Blackholes as Calico's BGP daemon sets them: a pod that is gone is silence, not an ICMP error.
POD_BLOCK = Address("10.10.1.0/26", "fd00:10:1::/64")
TUNNEL_BLOCK = Address("10.10.2.0/26", "fd00:10:2::/64")


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkState:
    """How the VIP is announced and what kube-proxy and the router do with it."""

    announcer: str | None = "node1"
    pod_host: str = POD_HOST
    second_announcer: str | None = None
    policy: Policy = Policy.LOCAL
    endpoint: bool = True
    pod_reachable: bool = True
    tunnel: bool = False
    gateway_nat: bool = False
    forbidden: bool = False


def wire(name: str) -> None:
    """Create the namespaces' links and give every interface its addresses and routes."""
    links = "".join(
        f"link add name {dev_a} netns {name}-{a} type veth peer name {dev_b} netns {name}-{b}\n"
        for a, dev_a, b, dev_b in LINKS
    )
    namespaces.command("ip", "-batch", "-", text=links)
    for role in namespaces.ROLES:
        forwarding = FORWARDING if role in ("router", *NODES) else ""
        batch = "\n".join(_WIRING[role]())
        script = f"{SYSCTLS}{forwarding}ip -batch - <<'END'\nlink set lo up\n{batch}\nEND\n"
        enter(name, role, script + SPECIAL.get(role, ""))


def enter(name: str, role: str, script: str) -> str:
    return namespaces.command("ip", "netns", "exec", f"{name}-{role}", "sh", "-e", text=script)


def apply(name: str, state: NetworkState) -> None:
    """Bring a wired lab into the given state."""
    for node in NODES:
        enter(name, node, _node_script(node, state))
    enter(name, "router", _router_script(state))
    enter(name, "pod", _pod_script(state))
    enter(name, "lan", "ip neigh flush all\n")


def _node_script(node: str, state: NetworkState) -> str:
    lines = ["ip -force -batch - >/dev/null 2>&1 <<'END' || true"]
    announce = "replace" if node in (state.announcer, state.second_announcer) else "del"
    # preferred_lft 0: the VIP must never become the source of what the node itself sends.
    lines += [
        f"addr {announce} {VIP.v4}/32 dev eth0" + (" preferred_lft 0" if announce == "replace" else ""),
        f"addr {announce} {VIP.v6}/128 dev eth0" + (" preferred_lft 0 nodad" if announce == "replace" else ""),
    ]
    lines += [*_way_to_pod(node, state), "END"]
    for ipv6, restore in ((False, "iptables-restore"), (True, "ip6tables-restore")):
        lines += [f"{restore} <<'END'", rules(node, state, ipv6=ipv6).restore_text() + "END"]
    return "\n".join([*lines, "conntrack -F 2>/dev/null", "ip neigh flush all", ""])


def rules(node: str, state: NetworkState, *, ipv6: bool) -> NodeRules:
    """What this node's kube-proxy would write in this state."""
    return NodeRules(
        policy=state.policy,
        any_endpoint=state.endpoint,
        local_endpoint=state.endpoint and node == state.pod_host,
        tunnel=state.tunnel,
        ipv6=ipv6,
    )


def _way_to_pod(node: str, state: NetworkState) -> list[str]:
    """How a node reaches the pod: by its own leg, by the node that has the pod, or by the way of the pod's block."""
    if node == state.pod_host:
        route = "replace" if state.pod_reachable else "del"
        return [f"route {route} {POD.v4} dev pod0", f"route {route} {POD.v6} dev pod0"]
    if state.pod_host == POD_HOST:
        return [f"route del {POD.v4}", f"route del {POD.v6}"]
    there = NODES[state.pod_host]
    return [f"route replace {POD.v4} via {there.v4}", f"route replace {POD.v6} via {there.v6}"]


def _pod_script(state: NetworkState) -> str:
    """The pod's way out is by the node that has it."""
    leg = LEGS[state.pod_host]
    routes = (f"via 169.254.1.1 dev {leg} onlink", f"via fe80::1 dev {leg}")
    return "".join(f"ip route replace default {route}\n" for route in routes)


def _router_script(state: NetworkState) -> str:
    nat = "-A POSTROUTING -o lan -j MASQUERADE --random-fully\n" if state.gateway_nat else ""
    restores = "".join(
        f"{tool} <<'END'\n*nat\n:POSTROUTING ACCEPT\n{nat}COMMIT\n"
        f"*filter\n:FORWARD ACCEPT\n{_forbids(vip, prohibited) if state.forbidden else ''}COMMIT\nEND\n"
        for tool, vip, prohibited in (
            ("iptables-restore", VIP.v4, "icmp-admin-prohibited"),
            ("ip6tables-restore", VIP.v6, "icmp6-adm-prohibited"),
        )
    )
    way = "\n".join(_way_to_pod("router", state))
    routes = f"ip -force -batch - >/dev/null 2>&1 <<'END' || true\n{way}\nEND\n"
    return f"{restores}{routes}conntrack -F 2>/dev/null\nip neigh flush all\n"


def _forbids(vip: str, prohibited: str) -> str:
    return f"-A FORWARD -p tcp -d {vip} -j REJECT --reject-with {prohibited}\n"


def _host(interface: str, main: Address, gateway: Address | None, *others: Address) -> Iterator[str]:
    yield f"link set {interface} up"
    yield f"addr add {main.v4}/24 dev {interface}"
    yield f"addr add {main.v6}/64 dev {interface} nodad"
    for other in others:
        yield f"addr add {other.v4}/24 dev {interface}"
        # Deprecated, so that nobody uses it without asking for it.
        yield f"addr add {other.v6}/64 dev {interface} nodad preferred_lft 0"
    if gateway:
        yield f"route add default via {gateway.v4}"
        yield f"route add default via {gateway.v6}"


def _vantage() -> Iterator[str]:
    yield from _host("eth0", VANTAGE, ROUTER_OUTSIDE, VANTAGE_UNTRUSTED, VANTAGE_NAMED, *BACKGROUND)


def _router() -> Iterator[str]:
    proxies = (PROXY_HEADER, PROXY_PLAIN, PROXY_FORGETS_HEADER, PROXY_UNWANTED_HEADER, PROXY_DOWN)
    yield from _host("outside", ROUTER_OUTSIDE, None, *proxies)
    yield from _host("lan", ROUTER_LAN, None)
    yield from _via(NODES[POD_HOST], POD_BLOCK)


def _lan() -> Iterator[str]:
    yield "link add name br0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0"
    yield from (f"link set port{n} master br0 up" for n in (1, 2, 3))
    yield from _host("br0", LAN_CLIENT, ROUTER_LAN)


def _node1() -> Iterator[str]:
    yield from _host("eth0", NODES["node1"], ROUTER_LAN)
    yield "link set pod0 up"
    yield "addr add fe80::1/64 dev pod0 nodad"
    yield f"route add blackhole {POD_BLOCK.v4}"
    yield f"route add blackhole {POD_BLOCK.v6}"
    yield from _via(NODES["node2"], TUNNEL_BLOCK)


def _node2() -> Iterator[str]:
    yield from _host("eth0", NODES["node2"], ROUTER_LAN)
    yield "link set pod0 up"
    yield "addr add fe80::1/64 dev pod0 nodad"
    yield from _via(NODES[POD_HOST], POD_BLOCK)


def _pod() -> Iterator[str]:
    yield "link set eth0 up"
    yield f"addr add {POD.v4}/32 dev eth0"
    yield "link set eth1 up"
    for leg in LEGS.values():
        yield f"addr add {POD.v6}/128 dev {leg} nodad"


def _via(gateway: Address, block: Address) -> Iterator[str]:
    yield f"route add {block.v4} via {gateway.v4}"
    yield f"route add {block.v6} via {gateway.v6}"


_WIRING = {"vantage": _vantage, "router": _router, "lan": _lan, "node1": _node1, "node2": _node2, "pod": _pod}
