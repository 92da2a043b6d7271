"""What the pace of sessions and knocks means for what is asked of a watch."""

from __future__ import annotations

import pytest

from probe.model import Wanted
from probe.service.vigil.pace import remarks


@pytest.mark.parametrize(
    ("wanted", "most", "said"),
    [
        (Wanted(until_stable=60.0, max_outage=60.0), 3, []),
        (Wanted(until_stable=30.0), 3, ["a session comes each 60 s", "--until-stable 30 "]),
        (Wanted(max_outage=10.0), 6, ["a session comes each 15 s", "--max-outage 10 "]),
        (Wanted(max_outage=10.0, no_limit=True), 6, []),
        (Wanted(max_outage=30.0, interval=60.0), 6, ["a knock comes each 60 s", "--max-outage 30 "]),
    ],
)
def test_what_would_surprise_is_said(wanted: Wanted, most: int, said: list[str]) -> None:
    told = remarks(wanted, most)
    assert len(told) == min(len(said), 1)
    assert all(part in told[0] for part in said)
