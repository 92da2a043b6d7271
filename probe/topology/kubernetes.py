"""Asks the Kubernetes API about the Service behind the paths: one question per kind of object, side by side.

Rules:
- What may not be read, or is not there, is one sentence that names what is missing; the rest counts all the same.
- MetalLB and Calico may not be installed: that their objects do not exist is no trouble, and nothing is known by them.
- A question is bounded by BOUND, so that a look ends before its verdict is due.
"""

from __future__ import annotations

import asyncio
from typing import Any

from probe.kubernetes.api import Api
from probe.kubernetes.ask import Access, Ask, Refusal
from probe.model import Clock
from probe.topology.facts import ClusterFacts, Subject, facts_of

BOUND = 1.4
"""Seconds for all questions of one look; two looks in a row have to fit into what a verdict waits (survey.py)."""

OPTIONAL = frozenset({"statuses", "advertisements", "pools"})
"""What a cluster need not have."""

_NOT_FOUND = 404


class ClusterReader:
    """Asks one cluster about one Service."""

    def __init__(self, subject: Subject, access: Access, clock: Clock, *, bound: float = BOUND) -> None:
        self._subject = subject
        self._api = Api(access, answer=bound)
        self._clock = clock

    async def read(self) -> ClusterFacts:
        """Ask everything once."""
        at = self._clock()
        questions = self._subject.questions()
        told = await asyncio.gather(*(self._ask(ask) for ask in questions.values()))
        answers = {about: one for about, one in zip(questions, told, strict=True) if not isinstance(one, Refusal)}
        refusals = {about: one for about, one in zip(questions, told, strict=True) if isinstance(one, Refusal)}
        kinds = {
            refusal.kind: refusal
            for about, refusal in refusals.items()
            if not (about in OPTIONAL and refusal.code == _NOT_FOUND)
        }
        return facts_of(self._subject, answers, at, tuple(kinds.values()))

    async def close(self) -> None:
        """Close the connections."""
        await self._api.close()

    async def _ask(self, ask: Ask) -> dict[str, Any] | Refusal:
        try:
            said = await self._api.read(ask)
        except Refusal as refusal:
            return refusal
        if ask.verb == "list" and not isinstance(said.get("items"), list):
            return Refusal(f"the Kubernetes API: {ask}: the answer is no list")
        return said
