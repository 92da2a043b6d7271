"""What all tests share: under CI a skipped test is a failed one, and the lab's matrix is printed at the end."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest

CELL = "matrix"
"""Name of the user property with which a lab test reports one line of the matrix."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skip into a failure under CI: what is not run there is not known to work anywhere."""
    report = yield
    if report.skipped and os.environ.get("CI") and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped under CI, where nothing may be: {report.longrepr}"
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the lines of the matrix that the lab's tests reported, in whatever worker they ran."""
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.stats.get(kind, [])]
    lines = sorted({str(value) for report in reports for name, value in report.user_properties if name == CELL})
    if lines:
        terminalreporter.write_sep("=", "the lab: scenario, server generation, verdict of each service")
        terminalreporter.write_line("\n".join(lines))
