"""Tests that share an expensive set-up run in one worker, or each worker makes it again."""

from __future__ import annotations

import pytest


@pytest.mark.xdist_group("kept-together")
def test_groups_are_kept_together(request: pytest.FixtureRequest) -> None:
    """pytest-xdist knows a group by the end of a test's name; where that is lost, it is silent and only slow."""
    grouping = request.config.getoption("loadgroup", default=False)
    assert request.node.nodeid.endswith("@kept-together") == bool(grouping)
