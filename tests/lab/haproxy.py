"""HAProxy of the router: one configuration with every variant, and one whose health checks throttle.  Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tests.lab.addresses import (
    POD,
    PROXY_DOWN,
    PROXY_FORGETS_HEADER,
    PROXY_HEADER,
    PROXY_PLAIN,
    PROXY_TWIN,
    PROXY_UNWANTED_HEADER,
    SERVICES,
    STOCK,
    THROTTLED,
    Address,
)

DEFAULTS = """
global
  nbthread 1
defaults
  mode tcp
  retries 3
  timeout connect 3s
  timeout client 120s
  timeout server 120s
"""
CLOSED_PORT = 9
NOWHERE: Mapping[str, int] = {service: CLOSED_PORT for service in SERVICES}
# (name, the router's address, ports of the pod, options of the server line)
VARIANTS = (
    ("header", PROXY_HEADER, PROXY_TWIN, "send-proxy-v2"),
    ("plain", PROXY_PLAIN, STOCK, ""),
    ("forgets", PROXY_FORGETS_HEADER, PROXY_TWIN, ""),
    ("unwanted", PROXY_UNWANTED_HEADER, STOCK, "send-proxy-v2"),
    ("down", PROXY_DOWN, NOWHERE, ""),
)


def proxies() -> str:
    sections = (_listen(name, address, ports, options) for name, address, ports, options in VARIANTS)
    return DEFAULTS + "\n".join(line for section in sections for line in section) + "\n"


def health_checker() -> str:
    """Does nothing but what field notes saw throttle a PROXY-expecting smtpd: connect and hang up, each second."""
    servers = "\n".join(
        f"  server {service} {POD.v4}:{port} send-proxy-v2 check inter 1s" for service, port in THROTTLED.items()
    )
    return f"{DEFAULTS}\nlisten throttle\n  bind 127.0.0.1:{CLOSED_PORT}\n{servers}\n"


def _listen(name: str, address: Address, ports: Mapping[str, int], options: str) -> Iterator[str]:
    for service in SERVICES:
        yield f"listen {name}-{service}"
        yield f"  bind {address.v4}:{STOCK[service]}"
        yield f"  bind [{address.v6}]:{STOCK[service]}"
        yield f"  server pod {POD.v4}:{ports[service]} {options}"
