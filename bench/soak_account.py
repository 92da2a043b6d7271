"""Was a session lost, doubled or judged wrongly? What the server saw against what the history holds.

- Every connection at the server's door is a session's (by its port and its time), or a control connection's or a
  beat's (by count, for they leave no port in the history), or it belonged to a session that a reload or the end cut
  short: of those there are at most as many as endpoints, each time.
- Every session that got through is at the door; a session's id is in the history once; and the daemon's own counter
  agrees with the history.
- A session that lay within one scene has that scene's verdict, or none (`unverified`), and never another.
"""

from __future__ import annotations

import json
import sqlite3
import zlib
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from probe.demo.scenes import Scene

DUE: dict[Scene, frozenset[str]] = {
    Scene.STRAIGHT: frozenset({"preserved"}),
    Scene.BEHIND_NODE: frozenset({"masked"}),
    Scene.SILENT: frozenset({"silent_drop"}),
    Scene.HEADER_MISSING: frozenset({"proxy_header_timeout"}),
    Scene.HEADER_SENT: frozenset({"preserved"}),
    Scene.DEAD: frozenset({"no_greeting", "tls_failed"}),
}
NOT_KNOWN = frozenset({"unverified", "rate_limited"})
APART = 1.0
"""Seconds after a change before a session counts as one within the scene, and between a port's two uses."""


@dataclass(frozen=True, slots=True)
class Came:
    """A connection of the probe's at the server's door."""

    at: float
    port: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Account:
    """What came out."""

    sessions: int
    doubled: int
    counted_by_daemon: int
    connections: int
    of_sessions: int
    of_controls: int
    of_beats: int
    cut_short: int
    missing_at_server: int
    verdicts: Mapping[str, Counter[str]]
    wrong: Sequence[str]


def records(file: Path) -> list[dict[str, Any]]:
    """Every session of the history, whole, in order of time."""
    with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as history:
        rows = history.execute("SELECT record FROM records ORDER BY opened").fetchall()
        (sessions,) = history.execute("SELECT count(*) FROM sessions").fetchone()
    found = [json.loads(zlib.decompress(packed)) for (packed,) in rows]
    if len(found) != sessions:
        raise RuntimeError(f"the history has {sessions} sessions and {len(found)} records")
    return found


def account(
    told: Sequence[dict[str, Any]], came: Sequence[Came], scenes: Sequence[tuple[float, Scene]], counted: int
) -> Account:
    """Compare. `scenes`: from when on each was shown; `counted`: the daemon's sessions_total."""
    by_port: dict[int, list[float]] = defaultdict(list)
    for one in came:
        by_port[one.port].append(one.at)
    matched, missing = 0, 0
    for session in told:
        if session["client"] is None or session["failed_phase"] in ("resolve", "connect"):
            continue
        opened, closed = _time(session["opened"]), _time(session["closed"])
        times = by_port[session["client"]["port"]]
        fitting = [at for at in times if opened - APART <= at <= closed + APART]
        if fitting:
            times.remove(fitting[0])
            matched += 1
        else:
            missing += 1
    controls = sum(len(session["controls"]) for session in told)
    beats = sum(session["beats"] for session in told)
    verdicts, wrong = _verdicts(told, scenes)
    return Account(
        sessions=len(told),
        doubled=len(told) - len({session["id"] for session in told}),
        counted_by_daemon=counted,
        connections=len(came),
        of_sessions=matched,
        of_controls=controls,
        of_beats=beats,
        cut_short=len(came) - matched - controls - beats,
        missing_at_server=missing,
        verdicts=verdicts,
        wrong=wrong,
    )


def _verdicts(
    told: Sequence[dict[str, Any]], scenes: Sequence[tuple[float, Scene]]
) -> tuple[dict[str, Counter[str]], list[str]]:
    begins = [begin for begin, _ in scenes]
    counted: dict[str, Counter[str]] = defaultdict(Counter)
    wrong = []
    for session in told:
        opened, closed = _time(session["opened"]), _time(session["closed"])
        place = bisect_right(begins, opened - APART) - 1
        ends = begins[place + 1] if place + 1 < len(begins) else closed + APART
        ended = closed + sum(control["seconds"] for control in session["controls"])
        if place < 0 or ended > ends:
            continue
        scene, verdict = scenes[place][1], session["verdict"]
        counted[scene][verdict] += 1
        if verdict not in DUE[scene] | NOT_KNOWN:
            wrong.append(f"{scene}: {session['service']} {verdict} ({session['rule']}) {session['id']}")
    return dict(counted), wrong


def _time(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
