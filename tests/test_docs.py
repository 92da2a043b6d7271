"""What the documents say of the code is held against the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from probe.model import Link, Verdict
from tests.lab.__main__ import markdown
from tests.lab.scenarios import SCENARIOS

REPOSITORY = Path(__file__).parent.parent
PAGES = sorted([*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").glob("*.md")])


def read(name: str) -> str:
    return (REPOSITORY / name).read_text(encoding="utf-8")


def test_the_matrix_of_the_readme_is_the_lab_s() -> None:
    """And the lab's is what test_matrix.py watches on real servers."""
    assert markdown() in read("README.md")


def test_no_generation_differs_from_the_matrix_unsaid() -> None:
    assert [name for name, scenario in SCENARIOS.items() if scenario.by_generation] == []


def test_the_verdict_table_of_the_readme_is_the_closed_set() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \|", read("README.md"), re.M)
    assert dict(rows) == {verdict.value: verdict.severity.value for verdict in Verdict}


def test_every_link_is_explained() -> None:
    explained = set(re.findall(r"^\| `(\w+)`", read("docs/correlation.md"), re.M))
    assert explained == set(Link)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


def test_make_targets_that_are_named_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", read("Makefile"), re.M))
    for page in PAGES:
        named = set(re.findall(r"\bmake ([a-z][a-z-]+)\b(?! sure)", page.read_text(encoding="utf-8")))
        assert named <= targets, (page.name, named - targets)
