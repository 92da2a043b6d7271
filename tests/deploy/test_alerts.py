"""The alerts: stories told to promtool, old and new; every alert with its runbook, every verdict with its alert."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.deploy.alert_cases import CASES
from tests.deploy.promtool import GENERATIONS, RULES, alerts, program, run, unit_tests


@pytest.mark.parametrize("generation", GENERATIONS)
def test_stories_page_as_they_should(generation: str, tmp_path: Path) -> None:
    file = tmp_path / "stories.yaml"
    file.write_text(yaml.safe_dump(unit_tests(CASES, RULES), width=10_000), encoding="utf-8")
    run(program("promtool", generation), "test", "rules", str(file))
