"""The scenario table: every fault the product must tell apart, how it is made, and what the probe must say to it.

Rule 1: a scenario is a value: a network state, a way in, something to prepare, and per service the verdict due.
Rule 2: a service without a real form of the fault is absent from the scenario, not excused in it.
Rule 3: `also` names verdicts that are honest too where the client cannot know more; where it is empty there is
        exactly one right answer.
Rule 4: what differs between server generations is said here, per generation, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from tests.lab.addresses import (
    EXPIRED,
    EXPIRED_NAME,
    FIRST_CONTACT,
    FOOTER,
    GREYLISTED,
    NAMES_ONLY,
    PLAIN_SMTPD,
    PORT_LOGGING,
    PROXY_DOWN,
    PROXY_FORGETS_HEADER,
    PROXY_HEADER,
    PROXY_PLAIN,
    PROXY_TWIN,
    PROXY_UNWANTED_HEADER,
    QUOTA,
    RATE_LIMITED,
    REWRITTEN,
    ROUTER_LAN,
    SERVICES,
    STOCK,
    STRIPPED,
    THROTTLED,
    VANTAGE_NAMED,
    VANTAGE_UNTRUSTED,
    VIP,
)
from tests.lab.kubeproxy import Policy
from tests.lab.scenario import Expectation, Preparation, Scenario, Secret
from tests.lab.world import NetworkState

CLUSTER = NetworkState(announcer="node2", policy=Policy.CLUSTER)
DROP = NetworkState(announcer="node2", policy=Policy.LOCAL)
REJECT = NetworkState(endpoint=False)
UNANNOUNCED = NetworkState(announcer=None)
FORBIDDEN = NetworkState(forbidden=True)
POD_GONE = NetworkState(pod_reachable=False)

SMTP_SERVICES: Final = SERVICES[:3]
STARTTLS: Final = ("smtp", "submission")
TLS_FIRST: Final = ("submissions", "imaps")
WITH_LOGIN: Final = ("submission", "submissions", "imaps")
BEHIND_PROXY: Final = {"proxies": (ROUTER_LAN.v4, ROUTER_LAN.v6), "nodes": ("10.0.20.101", "10.0.20.102")}


def due(
    verdict: str, *services: str, masked_by: str | None = None, also: tuple[str, ...] = ()
) -> dict[str, Expectation]:
    """The same verdict for the given services, or for all four."""
    expectation = Expectation(verdict=verdict, masked_by=masked_by, also=frozenset(also))
    return dict.fromkeys(services or SERVICES, expectation)


DELIVER: Final[dict[str, Any]] = {
    "logins": dict.fromkeys(WITH_LOGIN, Secret.RIGHT),
    "imprints": dict.fromkeys(SMTP_SERVICES, "deliver"),
    "reads_logs": False,
}
MESSAGES: Final = due("preserved", *SMTP_SERVICES) | due("unverified", "imaps")
REFUSING: Final = {**STOCK, "smtp": NAMES_ONLY}
IMAPS: Final = {"imaps": STOCK["imaps"]}

_TABLE: Final = (
    # The policies, and who may hide the client.
    Scenario(name="local", what="Local, announcing node has the pod", expected=due("preserved")),
    Scenario(name="local-v6", what="the same over IPv6", host=VIP.v6, expected=due("preserved")),
    Scenario(
        name="local-busy",
        what="Local, twenty look-alike sessions a second",
        background=20,
        expected=due("preserved"),
    ),
    Scenario(
        name="local-named",
        what="Local, the client's name resolves in the pod",
        source_address=VANTAGE_NAMED.v4,
        expected=due("preserved"),
    ),
    Scenario(
        name="cluster",
        what="Cluster: SNAT on the announcing node",
        network=CLUSTER,
        expected=due("masked", masked_by="node"),
    ),
    Scenario(
        name="cluster-v6",
        what="the same over IPv6",
        host=VIP.v6,
        network=CLUSTER,
        expected=due("masked", masked_by="node"),
    ),
    Scenario(
        name="cluster-busy",
        what="Cluster, twenty look-alike sessions a second behind the same address",
        network=CLUSTER,
        background=20,
        expected=due("masked", masked_by="node"),
    ),
    Scenario(
        name="cluster-same-node",
        what="Cluster, announcing node has the pod",
        network=NetworkState(announcer="node1", policy=Policy.CLUSTER),
        expected=due("masked", masked_by="node"),
    ),
    Scenario(
        name="cluster-tunnel",
        what="Cluster over an overlay: SNAT to the node's tunnel address",
        network=NetworkState(announcer="node2", policy=Policy.CLUSTER, tunnel=True),
        expected=due("masked", masked_by="pod"),
    ),
    Scenario(
        name="gateway-nat",
        what="the router masquerades towards the LAN",
        network=NetworkState(gateway_nat=True),
        expected=due("masked", masked_by="gateway"),
    ),
    Scenario(
        name="cluster-unknown",
        what="Cluster, and the configuration knows no networks",
        network=CLUSTER,
        networks={},
        expected=due("masked", masked_by="other"),
    ),
    # Nobody there.
    Scenario(
        name="drop",
        what="Local, announcing node has no endpoint: DROP",
        network=DROP,
        expected=due("silent_drop"),
    ),
    Scenario(name="drop-v6", what="the same over IPv6", host=VIP.v6, network=DROP, expected=due("silent_drop")),
    Scenario(
        name="pod-gone",
        what="the pod's address gone, rules stale",
        network=POD_GONE,
        expected=due("silent_drop"),
    ),
    Scenario(name="reject", what="no endpoint anywhere: REJECT", network=REJECT, expected=due("refused")),
    Scenario(name="reject-v6", what="the same over IPv6", host=VIP.v6, network=REJECT, expected=due("refused")),
    Scenario(name="unannounced", what="nobody announces the VIP", network=UNANNOUNCED, expected=due("unannounced")),
    Scenario(
        name="unannounced-v6",
        what="the same over IPv6",
        host=VIP.v6,
        network=UNANNOUNCED,
        expected=due("unannounced"),
    ),
    Scenario(
        name="forbidden",
        what="a firewall on the way forbids it: REJECT, administratively prohibited",
        network=FORBIDDEN,
        expected=due("unannounced"),
    ),
    Scenario(
        name="forbidden-v6",
        what="the same over IPv6",
        host=VIP.v6,
        network=FORBIDDEN,
        expected=due("unannounced"),
    ),
    Scenario(
        name="unresolved",
        what="the name of the path does not resolve",
        host="nowhere.lab.test",
        expected=due("resolve_failed"),
    ),
    # PROXY headers, straight to the listener.
    Scenario(
        name="header-missing",
        what="listener wants a PROXY header, none comes",
        ports=PROXY_TWIN,
        expected=due("proxy_header_timeout"),
    ),
    Scenario(
        name="header-missing-v6",
        what="the same over IPv6",
        host=VIP.v6,
        ports=PROXY_TWIN,
        expected=due("proxy_header_timeout"),
    ),
    Scenario(
        name="header-v1",
        what="listener wants a header, version 1 comes",
        ports=PROXY_TWIN,
        proxy_header="v1",
        expected=due("preserved"),
    ),
    Scenario(
        name="header-v2",
        what="listener wants a header, version 2 comes",
        ports=PROXY_TWIN,
        proxy_header="v2",
        expected=due("preserved"),
    ),
    Scenario(
        name="header-v2-v6",
        what="the same over IPv6",
        host=VIP.v6,
        ports=PROXY_TWIN,
        proxy_header="v2",
        expected=due("preserved"),
    ),
    Scenario(
        name="header-v2-cluster",
        what="header through SNAT: Postfix believes anybody, Dovecot does not know the node",
        network=CLUSTER,
        ports=PROXY_TWIN,
        proxy_header="v2",
        expected=due("preserved", *SMTP_SERVICES) | due("proxy_header_untrusted", "imaps"),
    ),
    Scenario(
        name="header-unexpected",
        what="a version 2 header reaches a listener that wants none",
        proxy_header="v2",
        expected=due("proxy_header_unexpected"),
    ),
    Scenario(
        name="header-unexpected-v1",
        what="a version 1 header reaches a listener that wants none",
        proxy_header="v1",
        expected=due("proxy_header_unexpected"),
    ),
    Scenario(
        name="header-unexpected-smtpd",
        what="the same at an smtpd without postscreen",
        proxy_header="v2",
        ports={"smtp": PLAIN_SMTPD},
        expected=due("proxy_header_unexpected", "smtp"),
    ),
    Scenario(
        name="header-untrusted",
        what="header from a sender Dovecot does not trust",
        ports=PROXY_TWIN,
        proxy_header="v2",
        source_address=VANTAGE_UNTRUSTED.v4,
        expected=due("proxy_header_untrusted", "imaps"),
    ),
    # HAProxy on the router.
    Scenario(
        name="haproxy-header",
        what="HAProxy with send-proxy-v2 to the PROXY twins",
        host=PROXY_HEADER.v4,
        networks=BEHIND_PROXY,
        expected=due("preserved"),
    ),
    Scenario(
        name="haproxy-header-v6",
        what="the same over IPv6",
        host=PROXY_HEADER.v6,
        networks=BEHIND_PROXY,
        expected=due("preserved"),
    ),
    Scenario(
        name="haproxy-plain",
        what="HAProxy without a header to the stock ports",
        host=PROXY_PLAIN.v4,
        networks=BEHIND_PROXY,
        expected=due("masked", masked_by="proxy"),
    ),
    Scenario(
        name="haproxy-forgets",
        what="HAProxy without a header to the PROXY twins",
        host=PROXY_FORGETS_HEADER.v4,
        networks=BEHIND_PROXY,
        expected=due("proxy_header_timeout"),
    ),
    Scenario(
        name="haproxy-unwanted",
        what="HAProxy with send-proxy-v2 to the stock ports",
        host=PROXY_UNWANTED_HEADER.v4,
        networks=BEHIND_PROXY,
        # Behind TLS the client sees a failed handshake; only the server's log tells why.
        expected=due("proxy_header_unexpected", *STARTTLS)
        | due("proxy_header_unexpected", *TLS_FIRST, also=("tls_failed",)),
    ),
    Scenario(
        name="haproxy-down",
        what="HAProxy with its backend down",
        host=PROXY_DOWN.v4,
        networks=BEHIND_PROXY,
        expected=due("no_greeting"),
    ),
    # Servers that are there and will not.
    Scenario(
        name="throttled",
        what="Postfix throttled by health checks",
        ports=THROTTLED,
        proxy_header="v2",
        prepare=Preparation.THROTTLE,
        session_seconds=6,
        expected=due("no_greeting", *SMTP_SERVICES),
    ),
    Scenario(
        name="rate-limited",
        what="anvil's connection rate limit",
        ports=RATE_LIMITED,
        prepare=Preparation.SPEND_RATE_LIMIT,
        expected=due("rate_limited", *SMTP_SERVICES),
    ),
    Scenario(
        name="first-contact",
        what="postscreen's greet wait on a client it has not seen",
        ports={"smtp": FIRST_CONTACT},
        expected=due("preserved", "smtp"),
    ),
    Scenario(
        name="expired-certificate",
        what="the certificate has expired",
        server_name=EXPIRED_NAME,
        ports=EXPIRED,
        expected=due("tls_failed"),
    ),
    Scenario(
        name="wrong-ca",
        what="the certificate is signed by a CA the client does not trust",
        trusts_lab=False,
        expected=due("tls_failed"),
    ),
    Scenario(
        name="wrong-name",
        what="the certificate is another host's",
        server_name="other.lab.test",
        expected=due("tls_failed"),
    ),
    Scenario(
        name="login",
        what="login with the right password",
        logins=dict.fromkeys(WITH_LOGIN, Secret.RIGHT),
        expected=due("preserved", *WITH_LOGIN),
    ),
    Scenario(
        name="login-cluster",
        what="the same through SNAT",
        network=CLUSTER,
        logins=dict.fromkeys(WITH_LOGIN, Secret.RIGHT),
        expected=due("masked", *WITH_LOGIN, masked_by="node"),
    ),
    Scenario(
        name="wrong-password",
        what="login with a wrong password",
        logins=dict.fromkeys(WITH_LOGIN, Secret.WRONG),
        expected=due("login_failed", *WITH_LOGIN),
    ),
    # Other imprints, other log lines.
    Scenario(
        name="imprint-reject",
        what="token in a refused RCPT; a login on imaps",
        network=CLUSTER,
        logins={"imaps": Secret.RIGHT},
        imprints={"smtp": "reject", "submission": "reject", "submissions": "reject", "imaps": "login"},
        expected=due("masked", masked_by="node"),
    ),
    Scenario(
        name="imprint-id",
        what="token in the ID command, which the server logs",
        network=CLUSTER,
        imprints={"imaps": "id"},
        expected=due("masked", "imaps", masked_by="node"),
    ),
    # Trust checks: a forged header after the session.
    Scenario(
        name="spoof",
        what="listener wants a header, and whoever reaches it may claim anybody",
        ports=PROXY_TWIN,
        proxy_header="v2",
        spoofs=True,
        expected=due("spoofable"),
    ),
    Scenario(
        name="spoof-v6",
        what="the same over IPv6, version 1",
        host=VIP.v6,
        ports=PROXY_TWIN,
        proxy_header="v1",
        spoofs=True,
        expected=due("spoofable"),
    ),
    Scenario(
        name="spoof-silent",
        what="the same where the path itself sends no header",
        ports=PROXY_TWIN,
        spoofs=True,
        expected=due("spoofable"),
    ),
    Scenario(
        name="spoof-untrusted",
        what="the same from a sender whom Dovecot does not trust",
        ports=PROXY_TWIN,
        proxy_header="v2",
        source_address=VANTAGE_UNTRUSTED.v4,
        spoofs=True,
        expected=due("spoofable", *SMTP_SERVICES) | due("proxy_header_untrusted", "imaps"),
    ),
    Scenario(
        name="spoof-plain",
        what="listener wants no header",
        spoofs=True,
        expected=due("preserved"),
    ),
    Scenario(
        name="spoof-proxy",
        what="HAProxy sends its own header first",
        host=PROXY_HEADER.v4,
        networks=BEHIND_PROXY,
        spoofs=True,
        expected=due("preserved"),
    ),
    # Replies that tell the client's address, and no log.
    Scenario(
        name="footer",
        what="an early DATA is answered with a reject footer; no log",
        ports=FOOTER,
        reads_logs=False,
        expected=due("preserved", *SMTP_SERVICES),
    ),
    Scenario(
        name="footer-v6",
        what="the same over IPv6",
        host=VIP.v6,
        ports=FOOTER,
        reads_logs=False,
        expected=due("preserved", *SMTP_SERVICES),
    ),
    Scenario(
        name="footer-cluster",
        what="the same through SNAT",
        network=CLUSTER,
        ports=FOOTER,
        reads_logs=False,
        expected=due("masked", *SMTP_SERVICES, masked_by="node"),
    ),
    Scenario(
        name="refusal",
        what="a refused RCPT names the client; no log",
        ports=REFUSING,
        imprints=dict.fromkeys(SMTP_SERVICES, "reject"),
        reads_logs=False,
        expected=due("preserved", *SMTP_SERVICES),
    ),
    Scenario(
        name="refusal-v6",
        what="the same over IPv6",
        host=VIP.v6,
        ports=REFUSING,
        imprints=dict.fromkeys(SMTP_SERVICES, "reject"),
        reads_logs=False,
        expected=due("preserved", *SMTP_SERVICES),
    ),
    Scenario(
        name="refusal-cluster",
        what="the same through SNAT",
        network=CLUSTER,
        ports=REFUSING,
        imprints=dict.fromkeys(SMTP_SERVICES, "reject"),
        reads_logs=False,
        expected=due("masked", *SMTP_SERVICES, masked_by="node"),
    ),
    Scenario(
        name="whoami",
        what="Dovecot refuses a whoami user with the client's address; no log",
        logins={"imaps": Secret.WHOAMI},
        reads_logs=False,
        expected=due("preserved", "imaps"),
    ),
    Scenario(
        name="whoami-v6",
        what="the same over IPv6",
        host=VIP.v6,
        logins={"imaps": Secret.WHOAMI},
        reads_logs=False,
        expected=due("preserved", "imaps"),
    ),
    Scenario(
        name="whoami-cluster",
        what="the same through SNAT",
        network=CLUSTER,
        logins={"imaps": Secret.WHOAMI},
        reads_logs=False,
        expected=due("masked", "imaps", masked_by="node"),
    ),
    # A message to the probe's own mailbox, and no log to read.
    Scenario(name="deliver", what="a message is sent and read back; no log", **DELIVER, expected=MESSAGES),
    Scenario(name="deliver-v6", what="the same over IPv6", host=VIP.v6, **DELIVER, expected=MESSAGES),
    Scenario(
        name="deliver-cluster",
        what="the same through SNAT",
        network=CLUSTER,
        **DELIVER,
        expected=due("masked", *SMTP_SERVICES, masked_by="node") | due("unverified", "imaps"),
    ),
    Scenario(
        name="deliver-greylisted",
        what="the server greylists for two seconds",
        ports={**GREYLISTED, **IMAPS},
        **DELIVER,
        expected=MESSAGES,
    ),
    Scenario(
        name="deliver-full",
        what="the mailbox is full",
        ports={**QUOTA, **IMAPS},
        prepare=Preparation.FILL_MAILBOX,
        **DELIVER,
        expected=due("service_error", *SMTP_SERVICES) | due("unverified", "imaps"),
    ),
    Scenario(
        name="deliver-stripped",
        what="the server strips Received",
        ports={**STRIPPED, **IMAPS},
        **DELIVER,
        expected=due("unverified"),
    ),
    Scenario(
        name="deliver-rewritten",
        what="the server writes localhost into Received",
        ports={**REWRITTEN, **IMAPS},
        **DELIVER,
        expected=due("unverified"),
    ),
    Scenario(
        name="deliver-and-logs",
        what="a message, and the logs: both say the same",
        logins=DELIVER["logins"],
        imprints=DELIVER["imprints"],
        expected=due("preserved"),
    ),
    Scenario(
        name="port-logging",
        what="smtpd with smtpd_client_port_logging",
        ports={"smtp": PORT_LOGGING},
        expected=due("preserved", "smtp"),
    ),
    Scenario(
        name="reject-footer",
        what="smtpd that tells the client its address in rejects",
        network=CLUSTER,
        ports=FOOTER,
        expected=due("masked", *SMTP_SERVICES, masked_by="node"),
    ),
    Scenario(
        name="plain-smtpd",
        what="smtpd without postscreen, through SNAT",
        network=CLUSTER,
        ports={"smtp": PLAIN_SMTPD},
        expected=due("masked", "smtp", masked_by="node"),
    ),
)
SCENARIOS: Final[Mapping[str, Scenario]] = MappingProxyType({scenario.name: scenario for scenario in _TABLE})
