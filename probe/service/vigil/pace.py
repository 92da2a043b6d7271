"""How often sessions come, and what that means for what was asked of a watch. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from probe.model import Endpoint, EndpointName, Wanted
from probe.service.budget import WINDOW, Needs, needs_of

KEPT_BACK = 2
"""Connections of a minute that are kept for the moments that matter: an endpoint goes, comes back, has to be shown."""

FAILING = 3
"""Connections of the first session that fails in an outage, with its control connections; those that fail like it take
one."""

BRISK = 1.0
"""Seconds between two sessions at least, whatever there is no limit of."""

SELDOM = (
    "a session comes each {pace:g} s (max_sessions_per_minute): what only sessions see, such as masked addresses, may "
    "last as long beyond --max-outage {longest:g} until it is known"
)
SELDOM_STABLE = (
    "a session comes each {pace:g} s (max_sessions_per_minute): within --until-stable {stable:g} there may be none, "
    "and the end waits for the one after it"
)
SELDOM_KNOCKS = (
    "a knock comes each {interval:g} s (--interval): an outage longer than --max-outage {longest:g} may lie between two"
)


def pace_of(most: int | None, connections: int = 1) -> float:
    """Seconds between two sessions, where one of everybody takes so many connections to the busiest endpoint."""
    return BRISK if most is None else WINDOW * connections / max(most - KEPT_BACK, 1)


def loads(needs: Iterable[Needs]) -> Counter[EndpointName]:
    """How many connections each endpoint gets in all, if each of these sessions comes once."""
    total: Counter[EndpointName] = Counter()
    for one in needs:
        total.update(one)
    return total


def busiest(endpoints: Iterable[Endpoint]) -> int:
    """Connections that one session of each takes at the endpoint that gets the most: a mailbox is read by many."""
    return max(loads(needs_of(one, 1) for one in endpoints).values(), default=1)


def remarks(wanted: Wanted, most: int | None, connections: int = 1) -> list[str]:
    """What somebody should know beforehand who asks for this, with so many sessions a minute."""
    limit, stable, longest = None if wanted.no_limit else most, wanted.until_stable, wanted.max_outage
    pace = pace_of(limit, connections)
    said = []
    slowest = pace if limit is None or limit >= FAILING else max(pace, WINDOW * FAILING / limit)
    if longest is not None and longest < slowest:
        said.append(SELDOM.format(pace=slowest, longest=longest))
    if stable is not None and stable < pace:
        said.append(SELDOM_STABLE.format(pace=pace, stable=stable))
    if longest is not None and longest < wanted.interval:
        said.append(SELDOM_KNOCKS.format(interval=wanted.interval, longest=longest))
    return said
