"""What the documents say of the code is held against the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from probe.cli import watch
from probe.model import Clients, Link, Reading, Verdict
from probe.report import watched_json
from probe.report.explained_json import as_object
from probe.verdict.clients import DOOR_RULES, conclude
from probe.verdict.troubles import TROUBLE_RULES
from probe.verdict.watched import RULES as WATCH_RULES
from tests.lab.__main__ import markdown
from tests.lab.scenarios import SCENARIOS
from tests.watched import drained

REPOSITORY = Path(__file__).parent.parent
PAGES = sorted([*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").rglob("*.md")])
NOTHING_READ = Reading(logs=(), lines=0, events=0, since=None, until=None, puzzles=())


def read(name: str) -> str:
    return (REPOSITORY / name).read_text(encoding="utf-8")


def test_the_table_of_scenarios_is_the_lab_s() -> None:
    """And the lab's is what test_matrix.py watches on real servers."""
    assert markdown() in read("docs/scenarios.md")
    assert f"lists {len(SCENARIOS)} faults and states" in read("README.md")


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
        text = page.read_text(encoding="utf-8")
        named = set(re.findall(r"(?:`|^ *(?:\$ )?)make ([a-z][a-z-]+)\b", text, re.M))
        assert named <= targets, (page.name, named - targets)


def test_lines_for_cron_name_the_command_with_its_whole_path() -> None:
    """Debian's cron looks into /usr/bin and /bin."""
    programs = [
        one for page in PAGES for one in re.findall(r"^(?:[\d*/,-]+ ){5}\w+ +(\S+)", page.read_text("utf-8"), re.M)
    ]
    assert programs
    assert [one for one in programs if not one.startswith("/")] == []


def test_every_rule_of_explain_is_in_its_document_with_its_severity() -> None:
    concluded = read("docs/explain.md").partition("## JSON")[0]
    rows = dict(re.findall(r"^\| `([\w-]+)` \| ([\w ]+) \|", concluded, re.M))
    doors = {rule.name: rule.severity.value for rule in DOOR_RULES}
    assert {name: rows[name] for name in doors} == doors
    assert set(rows) == set(doors) | {rule.name for rule in TROUBLE_RULES}


def test_every_key_of_explain_s_json_is_documented() -> None:
    told = as_object(conclude(Clients(), NOTHING_READ, called={}, named=False))
    first = read("docs/explain.md").partition("## JSON")[2]
    documented = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`[^|]*) \|", first, re.M))))
    assert set(told) == documented


def test_every_rule_of_watch_is_in_its_document_in_its_order() -> None:
    rows = re.findall(r"^\| `([\w-]+)` \| (\w+) \| (\d) \|", read("docs/watch.md"), re.M)
    assert rows == [(rule.name, rule.severity.value, str(rule.severity.exit_code)) for rule in WATCH_RULES]


def test_every_key_of_watch_s_json_is_documented() -> None:
    told = watched_json.as_object(drained())
    about = read("docs/watch.md").partition("## JSON")[2]
    documented = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`[^|]*) \|", about, re.M))))
    assert set(told) == documented
    endpoints = told["endpoints"]
    assert isinstance(endpoints, list)
    named = set(re.findall(r"`(\w+)`", about))
    parts = (endpoints[0], endpoints[0]["cadence"], endpoints[0]["outages"][0], endpoints[0]["sessions"][0])
    of_once = {"path", "service", "host", "address", "port", "id", "masked_by", "seen", "began", "ended", "at"}
    assert set().union(*parts) - named - of_once == set()


def test_every_option_of_watch_is_documented() -> None:
    options = {option for parameter in watch.params for option in parameter.opts if option.startswith("--")}
    assert options - {"--config", "--path"} == set(re.findall(r"^\| `(--[\w-]+)", read("docs/watch.md"), re.M))
