"""The state of a scripted cluster: pods with containers that run, log, crash and are replaced, and any other object.

Written from the API's documentation. What it keeps to:
- Every change has a resource version, and is an event that watches can start from, back to `compacted`.
- A log line has the runtime's stamp in nanoseconds; two lines may share one. Of the log only the file since the last
  rotation can be read from its beginning; who follows reads on through a rotation.
- A run that ended leaves its log as the previous one until the next run has ended. What the API says of a container
  may lag behind what the kubelet does: `published` is what it says.
"""

from __future__ import annotations

import asyncio
import copy
import time
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

NAMESPACE = "mailserver"
LABELS = {"app": "mailserver"}


@dataclass(kw_only=True)
class Run:
    """One run of a container: its log as (nanoseconds, text), and where the current file begins."""

    lines: list[tuple[int, bytes]] = field(default_factory=list)
    file: int = 0
    running: bool = True
    id: str = field(default_factory=lambda: f"containerd://{uuid.uuid4().hex}")


@dataclass(kw_only=True)
class Pod:
    """A pod; the last of a container's runs is the current one."""

    name: str
    uid: str
    labels: dict[str, str]
    created: float
    runs: dict[str, list[Run]]
    node: str = "k8s-node2"
    phase: str = "Running"
    annotations: dict[str, str] = field(default_factory=dict)
    published: dict[str, list[Run]] = field(default_factory=dict)

    def said(self, version: int) -> dict[str, Any]:
        """The Pod object."""
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": self.name,
                "namespace": NAMESPACE,
                "uid": self.uid,
                "resourceVersion": str(version),
                "creationTimestamp": rfc3339(self.created),
                "labels": self.labels,
                "annotations": self.annotations,
            },
            "spec": {"nodeName": self.node, "containers": [{"name": name, "image": "mail"} for name in self.runs]},
            "status": {
                "phase": self.phase,
                "containerStatuses": [_status(name, self.published.get(name, [])) for name in self.runs],
            },
        }


def _status(name: str, runs: list[Run]) -> dict[str, Any]:
    if not runs:
        return {"name": name, "restartCount": 0, "state": {"waiting": {"reason": "ContainerCreating"}}, "lastState": {}}
    now, last = runs[-1], runs[-2] if len(runs) > 1 else None
    state = {"running": {}} if now.running else {"terminated": {"containerID": now.id, "exitCode": 1}}
    return {
        "name": name,
        "containerID": now.id,
        "restartCount": len(runs) - 1,
        "state": state,
        "lastState": {"terminated": {"containerID": last.id, "exitCode": 1}} if last else {},
    }


class Cluster:
    """All of it. `skew` is how far the nodes' clocks are from ours."""

    def __init__(self, skew: float = 0.0) -> None:
        self.skew = skew
        self.version = 1000
        self.compacted = 1000
        self.pods: dict[str, Pod] = {}
        self.events: list[tuple[int, str, dict[str, Any]]] = []
        self.objects: dict[tuple[str, str], list[dict[str, Any]]] = {}
        self._changed = asyncio.Event()

    def now(self) -> float:
        return time.time() + self.skew

    async def change(self) -> None:
        """Until the next change."""
        await self._changed.wait()

    def touch(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    # Pods

    def add(self, name: str = "mailserver-0", *containers: str, ran: bool = True, **more: Any) -> Pod:
        names = containers or ("mailserver",)
        runs = {container: [Run()] if ran else [] for container in names}
        pod = Pod(
            name=name, uid=str(uuid.uuid4()), labels=dict(more.pop("labels", LABELS)), created=self.now(), runs=runs
        )
        for key, value in more.items():
            setattr(pod, key, value)
        self.pods[name] = pod
        self.publish(pod, "ADDED")
        return pod

    def publish(self, pod: Pod, kind: str = "MODIFIED") -> None:
        """The API hears of what became of the pod."""
        pod.published = {name: list(runs) for name, runs in pod.runs.items()}
        self._event(kind, pod)

    def _event(self, kind: str, pod: Pod) -> None:
        self.version += 1
        self.events.append((self.version, kind, copy.deepcopy(pod.said(self.version))))
        self.touch()

    def delete(self, pod: Pod) -> None:
        """The pod is gone: its containers have ended and its name is free."""
        for runs in pod.runs.values():
            for run in runs[-1:]:
                run.running = False
        if self.pods.get(pod.name) is pod:
            del self.pods[pod.name]
        self._event("DELETED", pod)

    def crash(self, pod: Pod, container: str = "mailserver") -> None:
        """The container's process ends."""
        pod.runs[container][-1].running = False
        self.touch()

    def run(self, pod: Pod, container: str = "mailserver", *, publish: bool = True) -> None:
        """The container's next run begins; the API may hear of it later."""
        pod.runs[container].append(Run())
        self.touch()
        if publish:
            self.publish(pod)

    def rotate(self, pod: Pod, container: str = "mailserver") -> None:
        """The kubelet starts a new log file."""
        run = pod.runs[container][-1]
        run.file = len(run.lines)

    def log(self, pod: Pod, *texts: str | bytes, container: str = "mailserver", at: int | None = None) -> None:
        """The container writes lines; `at` is their stamp in nanoseconds."""
        run = pod.runs[container][-1]
        for text in texts:
            stamp = at if at is not None else time.time_ns() + int(self.skew * 1e9)
            run.lines.append((stamp, text.encode() if isinstance(text, str) else text))
        self.touch()


def rfc3339(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def nano(stamp: int) -> bytes:
    """A stamp as the kubelet writes it, nine digits always."""
    whole, rest = divmod(stamp, 10**9)
    return datetime.fromtimestamp(whole, UTC).strftime("%Y-%m-%dT%H:%M:%S").encode() + b".%09dZ" % rest
