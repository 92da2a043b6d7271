"""Who lives where in the lab, in one table: addresses, ports, and what listens behind them.

The plan is that of a first user's network: a client outside (`vantage`), a router, a LAN with two Kubernetes nodes,
and one pod behind the first node.  Every address exists twice, for IPv4 and for IPv6.

Rule 1: the pod's ports are fixed; what differs between scenarios is the way to them.
Rule 2: the router offers one address per HAProxy variant, so that each variant has the four stock ports.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

SERVICES: Final = ("smtp", "submission", "submissions", "imaps")


@dataclass(frozen=True, slots=True)
class Address:
    """One host of the lab in both families."""

    v4: str
    v6: str


VANTAGE: Final = Address("192.168.1.10", "fd00:1::10")
VANTAGE_UNTRUSTED: Final = Address("192.168.1.11", "fd00:1::11")
VANTAGE_NAMED: Final = Address("192.168.1.12", "fd00:1::12")
"""The one client whose reverse name resolves inside the pod: `client12.lab.test`."""
BACKGROUND: Final = tuple(Address(f"192.168.1.{n}", f"fd00:1::{n}") for n in range(20, 30))
ROUTER_OUTSIDE: Final = Address("192.168.1.1", "fd00:1::1")
ROUTER_LAN: Final = Address("10.0.20.1", "fd00:20::1")
LAN_CLIENT: Final = Address("10.0.20.50", "fd00:20::50")
NODES: Final = MappingProxyType(
    {"node1": Address("10.0.20.101", "fd00:20::101"), "node2": Address("10.0.20.102", "fd00:20::102")}
)
POD: Final = Address("10.10.1.5", "fd00:10:1::5")
TUNNEL: Final = Address("10.10.2.1", "fd00:10:2::1")
"""What a Calico node with an overlay masquerades to: its tunnel's address, out of the pods' range."""
VIP: Final = Address("10.0.20.202", "fd00:20::202")

# HAProxy on the router, one outside address per variant.
PROXY_HEADER: Final = Address("192.168.1.2", "fd00:1::2")
PROXY_PLAIN: Final = Address("192.168.1.3", "fd00:1::3")
PROXY_FORGETS_HEADER: Final = Address("192.168.1.4", "fd00:1::4")
PROXY_UNWANTED_HEADER: Final = Address("192.168.1.5", "fd00:1::5")
PROXY_DOWN: Final = Address("192.168.1.6", "fd00:1::6")

STOCK: Final = MappingProxyType({"smtp": 25, "submission": 587, "submissions": 465, "imaps": 993})
PROXY_TWIN: Final = MappingProxyType({"smtp": 2525, "submission": 5587, "submissions": 4465, "imaps": 10993})
RATE_LIMITED: Final = MappingProxyType({"smtp": 2527, "submission": 5527, "submissions": 4527})
EXPIRED: Final = MappingProxyType({"smtp": 2529, "submission": 5529, "submissions": 4529, "imaps": 993})
FOOTER: Final = MappingProxyType({"smtp": 2531, "submission": 5531, "submissions": 4531})
THROTTLED: Final = MappingProxyType({"smtp": 2532, "submission": 5532, "submissions": 4532})
GREYLISTED: Final = MappingProxyType({"smtp": 2533, "submission": 5533, "submissions": 4533})
QUOTA: Final = MappingProxyType({"smtp": 2534, "submission": 5534, "submissions": 4534})
STRIPPED: Final = MappingProxyType({"smtp": 2535, "submission": 5535, "submissions": 4535})
REWRITTEN: Final = MappingProxyType({"smtp": 2536, "submission": 5536, "submissions": 4536})
NAMES_ONLY: Final = 2537
PLAIN_SMTPD: Final = 2526
FIRST_CONTACT: Final = 2528
PORT_LOGGING: Final = 2530
METRICS: Final = 9166
GREYLIST_POLICY: Final = 10023
QUOTA_POLICY: Final = 12340
QUOTA_OCTETS: Final = 20_000
"""More than one message has, or Dovecot 2.4 speaks of a message too large and not of a full mailbox."""
HEALTH_CHECK: Final = 30234
"""healthCheckNodePort of the Service, on every node."""
SERVICE_NAME: Final = "mailserver/mailserver"

POSTFIX_PORTS: Final = frozenset(
    {STOCK[s] for s in SERVICES[:3]}
    | {PROXY_TWIN[s] for s in SERVICES[:3]}
    | {EXPIRED[s] for s in SERVICES[:3]}
    | {port for twin in (RATE_LIMITED, THROTTLED, FOOTER) for port in twin.values()}
    | {port for twin in (GREYLISTED, QUOTA, STRIPPED, REWRITTEN) for port in twin.values()}
    | {PLAIN_SMTPD, FIRST_CONTACT, PORT_LOGGING, NAMES_ONLY}
)
DOVECOT_PORTS: Final = frozenset({STOCK["imaps"], PROXY_TWIN["imaps"], METRICS, QUOTA_POLICY})
POD_PORTS: Final = POSTFIX_PORTS | DOVECOT_PORTS

MAIL_DOMAIN: Final = "lab.test"
SERVER_NAME: Final = "mail.lab.test"
EXPIRED_NAME: Final = "expired.lab.test"
"""Dovecot knows only by this name that it is to show the expired certificate."""
USER: Final = "probe@lab.test"
PASSWORD: Final = "probe-secret"
