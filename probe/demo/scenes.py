"""The walk's steps, as a table: what is changed in the world, and what a newcomer should then see.

`expected` is for readers and tests. The walk itself never looks at it: what it prints is what the probe found.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from probe.model import Verdict


class Scene(StrEnum):
    """What the network between client and mail server does."""

    STRAIGHT = "straight"
    BEHIND_NODE = "behind_node"
    SILENT = "silent"
    HEADER_MISSING = "header_missing"
    HEADER_SENT = "header_sent"
    DEAD = "dead"


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One stop of the walk."""

    scene: Scene
    title: str
    changed: str
    look_for: str
    expected: Verdict


STEPS: tuple[Step, ...] = (
    Step(
        scene=Scene.STRAIGHT,
        title="the client's address arrives",
        changed="The virtual address leads straight to the mail server, as with externalTrafficPolicy: Local.",
        look_for="The server's log must name the probe's own address, and that is the proof of `preserved`.",
        expected=Verdict.PRESERVED,
    ),
    Step(
        scene=Scene.BEHIND_NODE,
        title="a node puts its own address there",
        changed="Every connection now goes through a cluster node that replaces the source address (SNAT).",
        look_for="Mail still works, but the server sees the node: `masked`, and the table names the node's address.",
        expected=Verdict.MASKED,
    ),
    Step(
        scene=Scene.SILENT,
        title="packets vanish",
        changed="The node that announces the virtual address has no mail server and drops what arrives.",
        look_for="No connect is answered, not even by a refusal: `silent_drop`, the outage that nobody reports.",
        expected=Verdict.SILENT_DROP,
    ),
    Step(
        scene=Scene.HEADER_MISSING,
        title="the PROXY header is missing",
        changed="The listeners now expect a PROXY header that names the client, but nobody in front sends one.",
        look_for="The server waits 5 s for it, or takes the first octets of TLS for a broken one, and hangs up: "
        "port open, mail dead, `proxy_header_timeout`.",
        expected=Verdict.PROXY_HEADER_TIMEOUT,
    ),
    Step(
        scene=Scene.HEADER_SENT,
        title="a proxy sends the header",
        changed="A proxy in front now sends a PROXY v2 header, so the server learns the client from the header.",
        look_for="The log names the probe's own address again although every connection is the proxy's: `preserved`.",
        expected=Verdict.PRESERVED,
    ),
)
