"""Was a session lost, doubled or judged wrongly? What the server saw against what the history holds.

- Every connection at the server's door is a session's (by its port and its time), or a control connection's or a
  beat's (by service and time, for they leave no port in the history), or it belonged to a session that a reload or the
  end cut short (it came within LONGEST before), or to an attempt that could not be told from others (IMAPS behind a
  node: its connections are given up, and the next attempt is the session).
- Every session that got through is at the door; a session's id is in the history once; and the daemon's own counter
  agrees with the history.
- A session that lay within one scene has that scene's verdict, or none (`unverified`), and never another.
"""

from __future__ import annotations

import json
import sqlite3
import zlib
from bisect import bisect_left, bisect_right
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
BEHIND = frozenset({Scene.BEHIND_NODE, Scene.STRAIGHT})
"""Scenes at whose begin or end an IMAPS session may meet lines that cannot be told from its own."""

NOT_KNOWN = frozenset({"unverified", "rate_limited"})
APART = 1.0
"""Seconds after a change before a session counts as one within the scene, and between a port's two uses."""


LONGEST = 25.0
"""Seconds that a session may take with its control connections."""


@dataclass(frozen=True, slots=True)
class Came:
    """A connection of the probe's at the server's door."""

    at: float
    port: int
    service: str


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
    given_up: int
    unexplained: int
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
    told: Sequence[dict[str, Any]],
    came: Sequence[Came],
    scenes: Sequence[tuple[float, Scene]],
    cuts: Sequence[float],
    counted: int,
) -> Account:
    """Compare. `scenes`: from when on each was shown; `cuts`: reloads and the end; `counted`: sessions_total."""
    rest = sorted(came, key=lambda one: one.at)
    matched, missing = _sessions(told, rest)
    controls = sum(_followers(one, rest, len(one["controls"])) for one in told)
    beats = sum(_followers(one, rest, one["beats"]) for one in told)
    cut = [one for one in rest if any(0 <= moment - one.at <= LONGEST for moment in cuts)]
    given_up = [one for one in rest if one not in cut and one.service == "imaps" and _scene(scenes, one.at) in BEHIND]
    verdicts, wrong = _verdicts(told, scenes)
    return Account(
        sessions=len(told),
        doubled=len(told) - len({session["id"] for session in told}),
        counted_by_daemon=counted,
        connections=len(came),
        of_sessions=matched,
        of_controls=controls,
        of_beats=beats,
        cut_short=len(cut),
        given_up=len(given_up),
        unexplained=len(rest) - len(cut) - len(given_up),
        missing_at_server=missing,
        verdicts=verdicts,
        wrong=wrong,
    )


def _sessions(told: Sequence[dict[str, Any]], rest: list[Came]) -> tuple[int, int]:
    """Take the sessions' connections away; how many there were, and how many should have been there and were not."""
    by_port: dict[int, list[Came]] = defaultdict(list)
    for one in rest:
        by_port[one.port].append(one)
    matched, missing = set(), 0
    for session in told:
        if session["client"] is None or session["failed_phase"] in ("resolve", "connect"):
            continue
        opened, closed = _time(session["opened"]), _time(session["closed"])
        fitting = [one for one in by_port[session["client"]["port"]] if opened - APART <= one.at <= closed + APART]
        if fitting:
            by_port[fitting[0].port].remove(fitting[0])
            matched.add(fitting[0])
        else:
            missing += 1
    rest[:] = [one for one in rest if one not in matched]
    return len(matched), missing


def _followers(session: dict[str, Any], rest: list[Came], most: int) -> int:
    """Take away so many connections to the session's service that came soon after it; how many there were."""
    if not most:
        return 0
    closed = _time(session["closed"])
    begin = bisect_left(rest, closed - APART, key=lambda one: one.at)
    end = bisect_right(rest, closed + LONGEST, key=lambda one: one.at)
    found = [one for one in rest[begin:end] if one.service == session["service"]][:most]
    for one in found:
        rest.remove(one)
    return len(found)


def _scene(scenes: Sequence[tuple[float, Scene]], at: float) -> Scene:
    return scenes[max(0, bisect_right([begin for begin, _ in scenes], at) - 1)][1]


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
            wrong.append(
                f"{scene}: {session['service']} {verdict} ({session['rule']}): "
                f"{session['fault'] or session['explanation']}"
            )
    return dict(counted), wrong


def _time(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
