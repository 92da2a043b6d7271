"""Reports: one judged round, three ways to tell it. They decide nothing."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from ipaddress import ip_address

import pytest
from rich.console import Console

from probe.model import Evidence, Failure, Link, Networks, Phase, Result, Round, Service, Session, Sighting
from probe.report import json as json_report
from probe.report import nagios, table
from probe.verdict.judge import judge
from tests.builders import NODE, OURS, failed, imaps_session, smtp_session

NETWORKS = Networks()


def judged(session: Session, *addresses: object) -> Result:
    evidence = Evidence(
        sightings=tuple(
            Sighting(address=address, port=6940, link=Link.FINGERPRINT, source="file:/log", at=101.5, line="a | line")  # type: ignore[arg-type]
            for address in addresses
        )
    )
    return Result(session=session, evidence=evidence, judgement=judge(session, evidence, NETWORKS))


def a_round(*results: Result) -> Round:
    return Round(vantage="lan-probe", started=1_763_835_631.501, seconds=6.2, results=results)


MASKED = judged(smtp_session(), NODE)
PRESERVED = judged(imaps_session(), OURS.address)
DROPPED = judged(
    smtp_session(
        service=Service.SUBMISSION,
        port=587,
        client=None,
        connected=None,
        fault=failed(Phase.CONNECT, Failure.TIMED_OUT),
    )
)
BLIND = judged(smtp_session(service=Service.SUBMISSIONS, port=465))
CAUSE = "10.0.20.202 is announced by k8s-node2, which has no local endpoint"
EXPLAINED = replace(DROPPED, judgement=replace(DROPPED.judgement, cause=CAUSE))


def test_every_report_tells_the_cause() -> None:
    assert json.loads(json_report.render(a_round(EXPLAINED)))["sessions"][0]["cause"] == CAUSE
    assert f"Cause: {CAUSE}" in nagios.render(a_round(EXPLAINED))
    assert f"Cause: {CAUSE}" in drawn(a_round(EXPLAINED))
    assert "Cause" not in drawn(a_round(DROPPED)) + nagios.render(a_round(DROPPED))


DOUBT = "But the probe runs on k8s-node1: this is not the clients' way in."
DOUBTED = replace(PRESERVED, judgement=replace(PRESERVED.judgement, explanation=f"Seen. {DOUBT}", doubt=DOUBT[4:]))


def test_a_doubt_is_told_even_where_all_is_well() -> None:
    assert DOUBT in json.loads(json_report.render(a_round(DOUBTED)))["sessions"][0]["explanation"]
    assert DOUBT in nagios.render(a_round(DOUBTED))
    assert DOUBT in drawn(a_round(DOUBTED))
    assert "vip: imaps" not in drawn(a_round(PRESERVED))


def test_services_that_fail_alike_for_different_causes_have_a_remark_each() -> None:
    assert drawn(a_round(EXPLAINED, DROPPED)).count("→") == 2


class TestJson:
    def test_has_exactly_the_contract_s_shape(self) -> None:
        told = json.loads(json_report.render(a_round(MASKED)))
        assert {key: told[key] for key in ("schema", "vantage", "started", "seconds", "status", "exit_code")} == {
            "schema": 1,
            "vantage": "lan-probe",
            "started": "2025-11-22T18:20:31.501Z",
            "seconds": 6.2,
            "status": "critical",
            "exit_code": 2,
        }
        (session,) = told["sessions"]
        explanation, hint = session.pop("explanation"), session.pop("hint")
        assert "10.0.20.102" in explanation
        assert hint
        assert session == {
            "id": "ours",
            "path": "vip",
            "service": "smtp",
            "host": "10.0.20.202",
            "address": "10.0.20.202",
            "port": 25,
            "client": {"address": "192.168.1.10", "port": 48782},
            "expected": ["192.168.1.10"],
            "phases": [{"phase": "quit", "seconds": 0.01}],
            "failed_phase": None,
            "verdict": "masked",
            "severity": "critical",
            "rule": "seen-as-another",
            "masked_by": "other",
            "sightings": [
                {
                    "address": "10.0.20.102",
                    "port": 6940,
                    "link": "fingerprint",
                    "source": "file:/log",
                    "at": "1970-01-01T00:01:41.500Z",
                    "line": "a | line",
                }
            ],
            "cause": None,
        }

    def test_a_session_that_never_connected(self) -> None:
        (session,) = json.loads(json_report.render(a_round(DROPPED)))["sessions"]
        assert (session["client"], session["failed_phase"], session["masked_by"]) == (None, "connect", None)
        assert session["sightings"] == []


class TestNagios:
    def test_first_line_is_for_the_pager_the_rest_for_people(self) -> None:
        lines = nagios.render(a_round(PRESERVED, MASKED, DROPPED)).splitlines()
        assert lines[0] == (
            "MAILPROBE CRITICAL - vip/smtp masked by other, vip/submission silent_drop; 1 of 3 preserved"
            " | 'vip/imaps'=1.000s 'vip/smtp'=1.000s 'vip/submission'=1.000s"
        )
        assert len(lines) == 4
        assert all(line.count("|") == 0 for line in lines[1:])

    def test_all_is_well(self) -> None:
        told = nagios.render(a_round(PRESERVED))
        assert told.startswith("MAILPROBE OK - 1 of 1 preserved | ")

    def test_a_server_s_text_cannot_forge_a_line_or_a_figure(self) -> None:
        fault = failed(Phase.GREETING, Failure.REJECTED, "554 | 'x'=1\nMAILPROBE OK")
        told = nagios.render(a_round(judged(smtp_session(fault=fault))))
        assert len(told.splitlines()) == 2
        assert told.count("|") == 1


def drawn(done: Round, *, width: int = 100) -> str:
    console = Console(file=io.StringIO(), width=width)
    table.render(done, console)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert isinstance(text, str)
    return text


class TestTable:
    def test_each_session_has_a_row_and_each_kind_of_fault_one_remark(self) -> None:
        text = drawn(a_round(PRESERVED, MASKED, DROPPED, BLIND))
        rows = [line.split()[:4] for line in text.splitlines()[1:5]]
        assert rows[0] == ["vip", "imaps", "✓", "preserved"]
        assert rows[1] == ["vip", "smtp", "✗", "masked"]
        assert rows[2] == ["vip", "submission", "✗", "silent_drop"]
        assert rows[3] == ["vip", "submissions", "?", "unverified"]
        assert text.count("→") == 3
        assert "CRITICAL: vip/smtp masked by other" in text

    def test_services_that_fail_alike_share_a_remark(self) -> None:
        two = judged(smtp_session(service=Service.SUBMISSION, port=587), NODE)
        text = drawn(a_round(MASKED, two))
        assert text.count("→") == 1
        assert "vip: smtp, submission" in text

    @pytest.mark.parametrize("width", [20, 60, 200])
    def test_any_width(self, width: int) -> None:
        assert "vip" in drawn(a_round(PRESERVED, MASKED, DROPPED, BLIND), width=width)

    def test_no_width_cuts_a_verdict(self) -> None:
        text = drawn(a_round(PRESERVED, MASKED, DROPPED, BLIND), width=40)
        for row in ("vip/submissions", "✓ preserved", "✗ masked by other", "✗ silent_drop", "? unverified"):
            assert row in text
        assert "…" not in text

    def test_a_name_with_markup_is_printed_as_it_is(self) -> None:
        assert "[red]vip" in drawn(a_round(judged(smtp_session(path="[red]vip"), ip_address("192.0.2.1"))))
