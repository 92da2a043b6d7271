"""What the dashboard is shown of: real daemons beside the demo's mail world, with Debian's Prometheus scraping them.

    async with staged(folder, vantages=("lan-probe", "office")) as stage:
        await stage.change_to(Scene.SILENT, SILENT)
        await stage.sees('mailprobe_verdict{verdict="silent_drop"} == 1', count=4)

- The world is on loopback: the virtual address by which a scene is felt, and the path `inside` straight to the server.
- Around it stand two nodes with kube-proxy's health check, a Kubernetes API that knows the announcer, Dovecot's page.
- One alert of ours fires on masked addresses; the real rules wait longer than a test should.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import trustme
import yaml
from aiohttp import web

from probe.demo.scenes import Scene
from probe.demo.world import NAME, NODES, VIRTUAL, DemoWorld, demo_world
from probe.model import Service
from tests.kubernetes import objects
from tests.kubernetes.api import serving as cluster_api
from tests.kubernetes.cluster import Cluster
from tests.service.metrics.programs import running as program
from tests.service.metrics.programs import serving as page
from tests.service.running import Running, free_port, running, until
from tests.topology.nodes import answer, node, says

NAMES = ("k8s-node1", "k8s-node2")
PATIENCE = 60.0
CERTIFICATE_LASTS = timedelta(days=40)
RULES = {
    "groups": [
        {
            "name": "stage",
            "rules": [
                {
                    "alert": "MailprobeMasked",
                    "expr": "max by (path, service) (mailprobe_masked_by) == 1",
                    "labels": {"severity": "critical"},
                }
            ],
        }
    ]
}


@dataclass(frozen=True, slots=True)
class Around:
    """Which node announces the virtual address, and which has the pod."""

    announcer: str
    pod: str


AT_HOME = Around(announcer="k8s-node2", pod="k8s-node2")
MOVED = Around(announcer="k8s-node2", pod="k8s-node1")
FOLLOWED = Around(announcer="k8s-node1", pod="k8s-node1")


@dataclass(slots=True)
class Surroundings:
    """Nodes, API and Dovecot's page, as they are just now."""

    cluster: Cluster
    mail_log: Path
    around: Around = AT_HOME

    def change(self, around: Around) -> None:
        """Move the pod, the announcement or both."""
        self.around = around
        here = [objects.node(name, address) for name, address in zip(NAMES, NODES, strict=True)]
        objects.with_objects(
            self.cluster,
            services=[objects.service(ip=VIRTUAL)],
            endpointslices=[objects.endpoint_slice(objects.endpoint(around.pod))],
            nodes=here,
            servicel2statuses=[objects.l2_status(around.announcer)],
        )

    async def dovecot(self, _: web.BaseRequest) -> web.Response:
        """Dovecot's own page. Nobody logs in to the demo's server, so visits to imaps stand for logins."""
        logins = self.mail_log.read_text(encoding="utf-8").count("imap-login: ")
        return web.Response(text=f"# TYPE dovecot_auth_success counter\ndovecot_auth_success_total {logins}\n")


@dataclass(slots=True)
class Stage:
    """All of it."""

    world: DemoWorld
    surroundings: Surroundings
    prometheus: str
    daemons: list[Running]
    session: aiohttp.ClientSession = field(repr=False)

    async def change_to(self, scene: Scene, around: Around) -> None:
        """Change the network and what stands around it."""
        self.surroundings.change(around)
        await self.world.change_to(scene)

    async def asked(self, query: str, at: float | None = None) -> list[dict[str, Any]]:
        """What Prometheus answers now, or of a moment."""
        asking = {"query": query, "time": str(time.time() if at is None else at)}
        async with self.session.get(f"{self.prometheus}/api/v1/query", params=asking) as told:
            answers: list[dict[str, Any]] = (await told.json())["data"]["result"]
        return answers

    async def sees(self, query: str, count: int = 1) -> None:
        """Wait until Prometheus has so many answers to a query."""

        async def enough() -> bool:
            return len(await self.asked(query)) >= count

        await until(enough, query, PATIENCE)

    async def since(self, query: str) -> float:
        """Wait until a query has an answer; the moment, a whole second, of which it will always be answered so."""

        async def answered() -> float:
            moment = math.floor(time.time())
            return moment if await self.asked(query, moment) else 0.0

        moment: float = await until(answered, query, PATIENCE)
        return moment


@asynccontextmanager
async def staged(folder: Path, *vantages: str, scrape: float = 1.0, **schedule: str) -> AsyncIterator[Stage]:
    """A stage with these vantages, each of which scrapes are taken of every `scrape` seconds."""
    async with AsyncExitStack() as stack:
        world = await stack.enter_async_context(demo_world(postfix_waits=1.5, dovecot_waits=1.0))
        _certify(world)
        surroundings = Surroundings(Cluster(), world.log_file)
        surroundings.change(AT_HOME)
        more = await _around(stack, surroundings, folder)
        if schedule:
            more["schedule"] = {"max_sessions_per_minute": 600, **schedule}
        daemons = []
        for number, vantage in enumerate(vantages):
            home = folder / vantage
            home.mkdir()
            one = await stack.enter_async_context(running(world, home, **more, **_stand(world, vantage, number)))
            await one.start()
            daemons.append(one)
        targets = [str(one.content["web"]["listen"]) for one in daemons]
        prometheus = await stack.enter_async_context(_prometheus(folder, targets, scrape))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        yield Stage(world, surroundings, prometheus, daemons, session)


def _certify(world: DemoWorld) -> None:
    """A certificate that expires soon enough to look at."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(world.ca_file))
    authority.configure_trust(world.client_tls)
    expires = datetime.now(UTC) + CERTIFICATE_LASTS  # noqa: TID251 - what a real certificate is dated by
    authority.issue_cert(NAME, VIRTUAL, not_after=expires).configure_cert(world.house.tls)


async def _around(stack: AsyncExitStack, surroundings: Surroundings, folder: Path) -> dict[str, Any]:
    """Everything around the mail server, and the parts of a configuration that name it."""
    port = free_port()
    for name, address in zip(NAMES, NODES, strict=True):

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, name: str = name) -> None:
            await says(answer(int(surroundings.around.pod == name)))(reader, writer)

        await stack.enter_async_context(node(serve, address, port))
    api = await stack.enter_async_context(cluster_api(surroundings.cluster))
    dovecot = await stack.enter_async_context(page(surroundings.dovecot))
    kubernetes = {
        "namespace": "mailserver",
        "service": "mailserver",
        "kubeconfig": str(api.kubeconfig(folder)),
        "networks": False,
    }
    nodes = dict(zip(NAMES, NODES, strict=True))
    return {
        "topology": {"health_check_node_port": port, "nodes": nodes, "kubernetes": kubernetes},
        "dovecot_metrics": {"url": dovecot},
    }


def _stand(world: DemoWorld, vantage: str, number: int) -> Mapping[str, Any]:
    """Where a vantage stands, and its two paths."""
    address = f"127.168.{1 + number}.10"
    content: Any = world.config()
    [vip] = content["paths"]
    inside = [{"service": str(service), "port": world.server_place(service)[1]} for service in Service]
    paths = [
        {**vip, "source_address": address},
        {**vip, "source_address": address, "name": "inside", "host": world.server_place(Service.SMTP)[0]}
        | {"endpoints": inside},
    ]
    return {"vantage": {"name": vantage, "addresses": [address]}, "paths": paths}


@asynccontextmanager
async def _prometheus(folder: Path, targets: list[str], scrape: float) -> AsyncIterator[str]:
    (folder / "rules.yml").write_text(yaml.safe_dump(RULES))
    every = f"{scrape * 1000:.0f}ms"
    content = {
        "global": {"scrape_interval": every, "scrape_timeout": every, "evaluation_interval": every},
        "rule_files": ["rules.yml"],
        "scrape_configs": [{"job_name": "mailprobe", "static_configs": [{"targets": targets}]}],
    }
    file = folder / "prometheus.yml"
    file.write_text(yaml.safe_dump(content))
    arguments = (
        f"--config.file={file}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        "--web.listen-address=127.0.0.1:{port}",
        "--enable-feature=exemplar-storage",
    )
    async with program("prometheus", "prometheus", *arguments, ready="/-/ready") as url:
        yield url
