"""A Pod object -> what the reader of its log needs to know. Pure; an object that is no pod gives None.

Rules:
- The container is the one that is named, else the one `kubectl logs` would choose: the annotation's, or the first.
- A container's log can be read once it has run: before, the kubelet only says that it is waiting to start.
- A container that is restarted keeps its name, and its count of restarts goes up.
"""

from __future__ import annotations

from dataclasses import dataclass

from probe.evidence import stamp
from probe.kubernetes.objects import number, part, parts, text

_DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container"
_LISTS = {
    "containers": "containerStatuses",
    "initContainers": "initContainerStatuses",
    "ephemeralContainers": "ephemeralContainerStatuses",
}
"""Where a Pod's spec has its containers, and its status what became of them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pod:
    """One pod. `container` is None where it has none of the wanted name; `containers` are the names it has.

    `created` is the API server's time, `restarts` the container's; `ran` says whether it has a log, `running` that it
    grows, `over` that none of the pod's containers will ever run again.
    """

    name: str
    uid: str
    created: float
    container: str | None
    containers: tuple[str, ...]
    restarts: int
    ran: bool
    running: bool
    over: bool


def pod_of(said: object, container: str | None) -> Pod | None:
    """Read a Pod object."""
    metadata, spec, status = (part(said, key) for key in ("metadata", "spec", "status"))
    name, uid = text(metadata, "name"), text(metadata, "uid")
    containers = tuple(text(one, "name") for kind in _LISTS for one in parts(spec, kind) if text(one, "name"))
    if not (name and uid and containers):
        return None
    wanted = container or text(part(metadata, "annotations"), _DEFAULT_CONTAINER)
    chosen = wanted if wanted in containers else None if container else containers[0]
    statuses = [one for kind in _LISTS.values() for one in parts(status, kind) if text(one, "name") == chosen]
    mine = statuses[0] if statuses else {}
    created = stamp.written(text(metadata, "creationTimestamp").encode(), now=0.0)
    return Pod(
        name=name,
        uid=uid,
        created=created.seconds if created else 0.0,
        container=chosen,
        containers=containers,
        restarts=number(mine, "restartCount"),
        ran=bool(text(mine, "containerID") or text(part(mine, "lastState", "terminated"), "containerID")),
        running=part(mine, "state").get("running") is not None,
        over=text(status, "phase") in ("Succeeded", "Failed"),
    )
