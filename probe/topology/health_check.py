"""Ask a node's kube-proxy on the Service's healthCheckNodePort whether the node has a local endpoint.

    GET http://NODE:PORT/healthz
    200 or 503, {"service": {"namespace": "mailserver", "name": "mailserver"}, "localEndpoints": 1,
                 "serviceProxyHealthy": true}

- The port is open with externalTrafficPolicy: Local only; kube-proxy closes it as the policy becomes Cluster.
- Whatever comes back is a value: an answer, a closed port, silence, garbage. Our own troubles are UNKNOWN.
- Older kube-proxies and other implementations leave `serviceProxyHealthy` out.
"""

from __future__ import annotations

import asyncio
import errno
import json
import re
from dataclasses import dataclass

from probe.model import Address, HealthPort
from probe.topology.http_get import Answer, HttpFault, http_get

TIMEOUT = 1.3
"""Seconds: one lost SYN is sent again after 1 s, and two looks in a row must fit into the bound of a survey."""

LARGEST = 1 << 14
MOST_ENDPOINTS = 100_000
_NAME = re.compile(r"[a-z0-9.-]{1,253}", re.ASCII)
_SILENT = frozenset({errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.EHOSTDOWN})
_GARBLED = frozenset({errno.ECONNRESET, errno.EPIPE})


@dataclass(frozen=True, kw_only=True, slots=True)
class Health:
    """What one node answered. `service` is `namespace/name`, as the answer has it."""

    port: HealthPort | None = None
    local_endpoints: int | None = None
    proxy_healthy: bool | None = None
    service: str | None = None


UNKNOWN = Health()


async def ask_health(address: Address, port: int, timeout: float = TIMEOUT) -> Health:
    """One node's answer; UNKNOWN where this machine could not ask."""
    host = f"[{address}]" if address.version == 6 else str(address)
    try:
        async with asyncio.timeout(timeout):
            return understood(await http_get(f"http://{host}:{port}/healthz", most=LARGEST))
    except ConnectionRefusedError:
        return Health(port=HealthPort.CLOSED)
    except TimeoutError:
        return Health(port=HealthPort.SILENT)
    except HttpFault:
        return Health(port=HealthPort.GARBLED)
    except OSError as error:
        if error.errno in _SILENT:
            return Health(port=HealthPort.SILENT)
        return Health(port=HealthPort.GARBLED) if error.errno in _GARBLED else UNKNOWN


def understood(answer: Answer) -> Health:
    """Read the answer. Pure."""
    told = _object(answer.body) if answer.status in (200, 503) else {}
    endpoints, healthy, service = (told.get(key) for key in ("localEndpoints", "serviceProxyHealthy", "service"))
    if not isinstance(endpoints, int) or isinstance(endpoints, bool) or not 0 <= endpoints <= MOST_ENDPOINTS:
        return Health(port=HealthPort.GARBLED)
    return Health(
        port=HealthPort.ANSWERED,
        local_endpoints=endpoints,
        proxy_healthy=healthy if isinstance(healthy, bool) else None,
        service=_name(service),
    )


def _object(body: bytes) -> dict[str, object]:
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


def _name(service: object) -> str | None:
    if not isinstance(service, dict):
        return None
    parts = [service.get("namespace"), service.get("name")]
    names = [part for part in parts if isinstance(part, str) and _NAME.fullmatch(part)]
    return "/".join(names) if len(names) == len(parts) else None
