"""Outages that all endpoints of a path had together, with edges that all of them narrow. Pure.

Endpoints of a path share its address, and so its announcer, its node and its way. If all of them went and came back
together, they went for one reason, and each knock at any of them bounds the same moment. Where their edges do not
overlap they did not share it, and the edge spans all of theirs. Where there was no moment at which all were out, as in
a restart of one after the other, nothing was together. Amid a gap in which nobody knocked for a while it may have been
two: that is none of these.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from probe.model import Edge, Gap, GapKind, WatchedEndpoint


@dataclass(frozen=True, kw_only=True, slots=True)
class Shared:
    """One outage of a whole path."""

    path: str
    endpoints: int
    began: Edge
    ended: Edge | None
    gaps: tuple[Gap, ...]

    @property
    def seconds(self) -> float | None:
        """How long it was; None while it lasts."""
        return None if self.ended is None else self.ended.moment - self.began.moment

    @property
    def bound(self) -> float:
        """Seconds by which that may be off."""
        return self.began.bound + (self.ended.bound if self.ended else 0.0)


def shared(endpoints: Sequence[WatchedEndpoint]) -> tuple[Shared, ...]:
    """The outages of whole paths, of paths with more than one endpoint."""
    found: list[Shared] = []
    for path in dict.fromkeys(endpoint.name.path for endpoint in endpoints):
        ours = [endpoint for endpoint in endpoints if endpoint.name.path == path]
        if len(ours) > 1:
            found += _of_path(path, [_unreachable(endpoint) for endpoint in ours])
    return tuple(found)


def _of_path(path: str, gaps: Sequence[Sequence[Gap]]) -> Iterable[Shared]:
    together: list[tuple[Gap, ...]] = [(gap,) for gap in gaps[0]]
    for others in gaps[1:]:
        together = [(*held, one) for held in together for one in others if _meet((*held, one))]
    told: list[Gap] = []
    for held in together:
        if any(one in told for one in held):
            continue
        told += held
        ends = [one.ended for one in held if one.ended is not None]
        yield Shared(
            path=path,
            endpoints=len(gaps),
            began=_narrowed([one.began for one in held]),
            ended=_narrowed(ends) if len(ends) == len(held) else None,
            gaps=held,
        )


def _unreachable(endpoint: WatchedEndpoint) -> Sequence[Gap]:
    return [gap for gap in endpoint.gaps if gap.kind is GapKind.UNREACHABLE and not gap.unseen]


def _meet(gaps: Sequence[Gap]) -> bool:
    """Whether all of them were at one moment, as far as edges tell."""
    return max(gap.began.by for gap in gaps) <= min(map(_until, gaps))


def _until(gap: Gap) -> float:
    return gap.ended.by if gap.ended else float("inf")


def _narrowed(edges: Sequence[Edge]) -> Edge:
    afters = [edge.after for edge in edges if edge.after is not None]
    if len(afters) < len(edges):
        return Edge(None, min(edge.by for edge in edges))
    after, by = max(afters), min(edge.by for edge in edges)
    return Edge(after, by) if after < by else Edge(min(afters), max(edge.by for edge in edges))
