"""A request to a Kubernetes API that nobody waits for any more."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

from probe.kubernetes.api import Api
from probe.kubernetes.ask import Access, Ask
from tests.kubernetes.api import KubernetesApi
from tests.kubernetes.cluster import Cluster


async def test_a_request_cancelled_amid_its_tls_handshake_leaves_no_connection(tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    silent = KubernetesApi(Cluster())
    with socket.create_server(("127.0.0.1", 0)) as door:
        door.settimeout(0)
        silent.port = door.getsockname()[1]
        api = Api(Access(kubeconfig=silent.kubeconfig(tmp_path)), answer=30.0)
        asking = asyncio.create_task(api.read(Ask(verb="list", resource="pods")))
        server, _ = await loop.sock_accept(door)
        with server:
            server.settimeout(0)
            assert await loop.sock_recv(server, 4096)
            asking.cancel()
            await asyncio.wait([asking])
            async with asyncio.timeout(3.0):
                assert await loop.sock_recv(server, 4096) == b""
        await api.close()
