"""What the tests of deploy/drain.sh share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.deploy.drain_stage import Stage, furnished


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """A directory with a kubectl and a probe that play what a test tells them."""
    return furnished(tmp_path)
