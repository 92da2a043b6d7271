"""A followed cluster for the tests of the kubernetes source."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from probe.evidence.sources.kubernetes import KubernetesSource, Selection
from probe.evidence.sources.pod_log import Patience
from probe.kubernetes.ask import Access
from tests.evidence.sources.reading import Reading, consuming
from tests.kubernetes.api import KubernetesApi, serving
from tests.kubernetes.cluster import NAMESPACE, Cluster

BRIEF = Patience(start=5.0, watch=2.0, quiet=1.0, ending=0.3, settle=1.0, first=0.01, most=0.2)


@dataclass(kw_only=True)
class Scene:
    """A cluster, its API, and what the source brought of it."""

    cluster: Cluster
    api: KubernetesApi
    reading: Reading

    @property
    def source(self) -> KubernetesSource:
        assert isinstance(self.reading.source, KubernetesSource)
        return self.reading.source

    async def receives(self, *expected: str) -> None:
        """These lines arrive, in any order; nothing else does while the logs are read again."""
        await self.reading.until(lambda: len(self.reading.lines) >= len(expected), 10)
        asked = len(self.api.asked)
        self.api.end_streams()
        await self.reading.until(lambda: len(self.api.asked) > asked, 10)
        assert sorted(self.texts) == sorted(expected)

    async def watches_anew(self) -> None:
        """Every stream ends; the pods are listed and watched again."""
        watches = sum("watch=true" in one for one in self.api.asked)
        self.api.end_streams()
        await self.reading.until(lambda: sum("watch=true" in one for one in self.api.asked) > watches)

    @property
    def texts(self) -> list[str]:
        return [line.decode().removesuffix("\n") for line in self.reading.lines]


def source_of(api: KubernetesApi, folder: Path, **options: Any) -> KubernetesSource:
    """A source that reads the mail server's pods."""
    patience = options.pop("patience", BRIEF)
    access = Access(kubeconfig=options.pop("kubeconfig", None) or api.kubeconfig(folder))
    selection = Selection(**({"namespace": NAMESPACE, "selector": "app=mailserver"} | options))
    return KubernetesSource(selection, access, clock=time.time, patience=patience)


@asynccontextmanager
async def following(cluster: Cluster, folder: Path, *, seed: int = 0, **options: Any) -> AsyncIterator[Scene]:
    """Follow a cluster's mail server pods."""
    async with serving(cluster, seed=seed) as api, consuming(source_of(api, folder, **options)) as reading:
        yield Scene(cluster=cluster, api=api, reading=reading)
