"""Which sessions or outages somebody asks for: what the API's filters mean, whoever answers them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from probe.model import EndpointName, Outage, Result, Service, Verdict

_Listed = TypeVar("_Listed")


class NotKept(LookupError):
    """What a list is to go on after is not kept, or not any more."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """The latest of these, `limit` of them. `before` is a wall time; `shift` what the wall clock is ahead of moments.

    Of an outage any of its verdicts counts. `after`: the session, or the first session of the outage, that the list
    before ended with; where that stands, only whoever has the list knows (`behind`).
    """

    path: str | None = None
    service: Service | None = None
    verdict: Verdict | None = None
    before: float | None = None
    after: str | None = None
    limit: int = 100

    def endpoint(self, name: EndpointName) -> bool:
        """Whether the endpoint is wanted."""
        return self.path in (None, name.path) and self.service in (None, name.service)

    def session(self, result: Result, shift: float) -> bool:
        """Whether a session is wanted."""
        fits = self.verdict in (None, result.judgement.verdict) and self.endpoint(result.session.endpoint)
        return fits and (self.before is None or result.session.opened + shift < self.before)

    def outage(self, outage: Outage) -> bool:
        """Whether an outage is wanted, told by the wall clock."""
        fits = (self.verdict is None or self.verdict in outage.verdicts) and self.endpoint(outage.endpoint)
        return fits and (self.before is None or outage.began < self.before)

    def behind(self, listed: Mapping[str, _Listed]) -> list[_Listed]:
        """What stands after `after` in a list, each by its name. Raises NotKept where that is not in it."""
        if self.after is None:
            return list(listed.values())
        if self.after not in listed:
            raise NotKept(self.after)
        return list(listed.values())[list(listed).index(self.after) + 1 :]
