"""What saved logs show as a JSON object, docs/explain.md. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping

from probe.model import (
    STAND_INS,
    Caller,
    Explained,
    Finding,
    Headcount,
    Listener,
    Puzzle,
    SavedLog,
    Trouble,
    Whose,
    in_all,
)
from probe.report.json import timestamp

SCHEMA = 1
MOST_CALLERS = 20
"""Addresses of each listener, those with most clients."""


def render(explained: Explained) -> str:
    """The object, indented for people who pipe it through nothing."""
    return json.dumps(as_object(explained), indent=2, ensure_ascii=False)


def as_object(explained: Explained) -> dict[str, object]:
    """The object as plain values."""
    reading, clients = explained.reading, explained.clients
    by = in_all(clients.listeners)
    total = sum(count.clients for count in by.values())
    stand_ins = sum(count.clients for whose, count in by.items() if whose in STAND_INS)
    return {
        "schema": SCHEMA,
        "status": explained.severity,
        "exit_code": explained.severity.exit_code,
        "findings": [_finding(finding) for finding in explained.findings],
        "networks_configured": explained.named,
        "complete": not reading.interrupted and not any(log.fault for log in reading.logs),
        "logs": [_log(log) for log in reading.logs],
        "lines": reading.lines,
        "events": reading.events,
        "since": None if reading.since is None else timestamp(reading.since),
        "until": None if reading.until is None else timestamp(reading.until),
        "clients": {
            "total": total,
            "by_network": {whose: count.clients for whose, count in by.items()},
            "stand_ins": stand_ins,
            "stand_ins_share": round(stand_ins / total, 4) if total else None,
            "without_address": sum(listener.nameless for listener in clients.listeners),
            "addresses": clients.addresses,
            "addresses_forgotten": clients.forgotten,
        },
        "listeners": [_listener(listener) for listener in clients.listeners],
        "faults": [_trouble(trouble) for trouble in clients.troubles],
        "not_understood": [_puzzle(puzzle) for puzzle in reading.puzzles],
    }


def _finding(finding: Finding) -> dict[str, object]:
    return {
        "rule": finding.rule,
        "severity": finding.severity,
        "sentence": finding.sentence,
        "first_line": finding.first,
        "hint": finding.hint,
    }


def _log(log: SavedLog) -> dict[str, object]:
    return {"name": log.name, "lines": log.lines, "bytes": log.octets, "fault": log.fault}


def _listener(listener: Listener) -> dict[str, object]:
    return {
        "listener": listener.name,
        "behind_postscreen": listener.behind,
        "clients": listener.clients,
        "without_address": listener.nameless,
        "by_network": _counts(listener.by),
        "addresses": [_caller(caller) for caller in listener.callers[:MOST_CALLERS]],
    }


def _counts(by: Mapping[Whose, Headcount]) -> dict[str, object]:
    return {whose: _count(count) for whose, count in by.items()}


def _count(count: Headcount) -> dict[str, object]:
    return {"clients": count.clients, "spoke": count.spoke, "began": count.began}


def _caller(caller: Caller) -> dict[str, object]:
    return {
        "address": str(caller.address),
        "network": caller.whose,
        **_count(caller.count),
        "users_at_least": caller.users,
        "first_line": caller.first,
    }


def _trouble(trouble: Trouble) -> dict[str, object]:
    return {
        "fault": trouble.sign,
        "listener": trouble.listener,
        "network": trouble.whose,
        "lines": trouble.count,
        "addresses": [str(address) for address in trouble.addresses],
        "first_line": trouble.first,
    }


def _puzzle(puzzle: Puzzle) -> dict[str, object]:
    return {"kind": puzzle.kind, "lines": puzzle.count, "first_line": puzzle.first or None}
