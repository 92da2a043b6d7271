"""kube-proxy's health check servers: one per node, on healthCheckNodePort, in the node's namespace.

Rule 1: the answer is a real kube-proxy 1.36's, byte for byte but for the date; it follows the lab's network state.
Rule 2: with externalTrafficPolicy Cluster the port is closed: connections are refused.
Rule 3: the sockets live in the namespaces and the threads in this process, so they must be closed before the lab is.
"""

from __future__ import annotations

import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.lab import namespaces
from tests.lab.addresses import HEALTH_CHECK, NODES, SERVICE_NAME
from tests.lab.kubeproxy import Policy
from tests.lab.world import NetworkState


class _Answer(BaseHTTPRequestHandler):
    """`GET /healthz` as kube-proxy answers it."""

    server: _Server
    timeout = 5

    def do_GET(self) -> None:
        namespace, _, name = SERVICE_NAME.partition("/")
        endpoints = self.server.local_endpoints
        body = json.dumps(
            {
                "service": {"namespace": namespace, "name": name},
                "localEndpoints": endpoints,
                "serviceProxyHealthy": True,
            },
            indent="\t",
        ).encode()
        self.send_response_only(200 if endpoints else 503)
        self.send_header("Content-Type", "application/json")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("X-Load-Balancing-Endpoint-Weight", str(endpoints))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    """One node's server, on a socket that somebody else has made."""

    daemon_threads = True

    def __init__(self, listener: socket.socket) -> None:
        super().__init__(listener.getsockname()[:2], _Answer, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self.local_endpoints = 0

    def server_bind(self) -> None:
        """It is bound already."""


class HealthChecks:
    """The servers of all nodes of one lab."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._running: dict[str, _Server] = {}

    def follow(self, state: NetworkState) -> None:
        """Answer as kube-proxy would in this state."""
        if state.policy is not Policy.LOCAL:
            self.close()
            return
        for node in NODES:
            if node not in self._running:
                self._running[node] = self._start(node)
            self._running[node].local_endpoints = int(state.endpoint and node == state.pod_host)

    def close(self) -> None:
        """Close every port."""
        for server in self._running.values():
            server.shutdown()
            server.server_close()
        self._running.clear()

    def _start(self, node: str) -> _Server:
        listener = namespaces.socket_in(f"{self._name}-{node}", socket.AF_INET6)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.bind(("::", HEALTH_CHECK))
        listener.listen()
        server = _Server(listener)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return server
