"""What all tests share: under CI a skipped test is a failed one, and what the lab measured is printed at the end."""

from __future__ import annotations

import os
import signal
from collections.abc import Generator, Iterator

import pytest
import structlog

from tests.accepting import turn_away_who_comes_too_late

CELL = "matrix"
VERIFIED = "verified"
"""Names of the user properties with which lab tests report a line of the matrix and a count of verified sessions."""

LONGEST_NAME = 200

TITLES = {
    CELL: "the lab: scenario, server generation, verdict of each service",
    VERIFIED: "sessions found again among look-alikes, not one of them wrongly",
}


def pytest_configure() -> None:
    """A script's background job is born deaf to Ctrl-C, and so would be every program that tests interrupt."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    turn_away_who_comes_too_late()


def pytest_make_parametrize_id(val: object) -> str | None:
    """Names of tests are what they begin with: every worker tells them all, and some are of megabytes."""
    if isinstance(val, str | bytes) and len(val) > LONGEST_NAME:
        return f"{val[:LONGEST_NAME]!r}…"
    return None


@pytest.fixture(autouse=True)
def _warnings_go_to_standard_error() -> Iterator[None]:
    """capture_logs leaves structlog configured, and then the warnings of the next test go to standard output."""
    yield
    structlog.reset_defaults()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skip into a failure under CI: what is not run there is not known to work anywhere."""
    report = yield
    if report.skipped and os.environ.get("CI") and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped under CI, where nothing may be: {report.longrepr}"
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what the lab's tests measured, in whatever worker they ran."""
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.stats.get(kind, [])]
    for property_name, title in TITLES.items():
        told = {str(value) for report in reports for name, value in report.user_properties if name == property_name}
        if told:
            terminalreporter.write_sep("=", title)
            terminalreporter.write_line("\n".join(sorted(told)))
