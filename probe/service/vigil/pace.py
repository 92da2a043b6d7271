"""How often sessions come, and what that means for what was asked of a watch. Pure."""

from __future__ import annotations

from probe.model import Wanted
from probe.service.budget import WINDOW

KEPT_BACK = 2
"""Connections of a minute that are kept for the moments that matter: an endpoint goes, comes back, has to be shown."""

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
    """Seconds between two sessions that take so many connections."""
    return BRISK if most is None else WINDOW * connections / max(most - KEPT_BACK, 1)


def remarks(wanted: Wanted, most: int | None) -> list[str]:
    """What somebody should know beforehand who asks for this, with so many sessions a minute."""
    pace, stable, longest = pace_of(None if wanted.no_limit else most), wanted.until_stable, wanted.max_outage
    said = []
    if longest is not None and longest < pace:
        said.append(SELDOM.format(pace=pace, longest=longest))
    if stable is not None and stable < pace:
        said.append(SELDOM_STABLE.format(pace=pace, stable=stable))
    if longest is not None and longest < wanted.interval:
        said.append(SELDOM_KNOCKS.format(interval=wanted.interval, longest=longest))
    return said
