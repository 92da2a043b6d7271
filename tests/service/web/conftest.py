"""A station for each test of the web server."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.service.web.stage import Scripted, settings_of


@pytest.fixture
def station(tmp_path: Path) -> Scripted:
    """A daemon that has begun and judged nothing yet."""
    return Scripted(settings_of(tmp_path))
