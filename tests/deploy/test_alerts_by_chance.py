"""What fails by chance, or a minute of every five, for two hours: how many pages that makes, told by promtool.

Rule 1: chance has a seed, and every path its own; all of them are of one vantage, so that they are played at once.
Rule 2: pages are counted, not looked for at moments: one that ends and comes again is two.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from random import Random
from typing import Any

from tests.deploy.case import Case
from tests.deploy.promtool import RULES, unit_tests
from tests.deploy.story import INTERVAL, Vantage
from tests.deploy.test_alerts import play

SESSIONS = 240
EVALUATED = 30
APART = 5
"""Sessions that are well, at least, after each one that fails alone: two and a half minutes."""


def shares(seed: int, share: float) -> list[bool]:
    """Each session has the same chance to fail."""
    random = Random(seed)
    return [random.random() < share for _ in range(SESSIONS)]


def alone(seed: int) -> list[bool]:
    """Now and then one session fails, by itself."""
    random, fails = Random(seed), [False] * SESSIONS
    for step in range(0, SESSIONS - 3 * APART, 3 * APART):
        fails[step + random.randrange(2 * APART)] = True
    return fails


def told(verdict: str, fails: Iterable[bool], well: str = "preserved") -> str:
    return ", ".join([f"{well} 5m", *(f"{verdict if bad else well} {INTERVAL}s" for bad in fails)])


SCRIPTS = {
    "half-dropped/smtp": told("silent_drop", shares(1, 1 / 2)),
    "half-masked/smtp": told("masked", shares(2, 1 / 2)),
    "third-dropped/smtp": told("silent_drop", shares(2, 1 / 3)),
    "third-refused/smtp": told("refused", shares(3, 1 / 3)),
    "less-dropped/smtp": told("silent_drop", shares(4, 1 / 5)),
    "less-masked/smtp": told("masked", shares(5, 1 / 10)),
    "less-shaken/imaps": told("tls_failed", shares(5, 1 / 5), "login_failed"),
    "alone-dropped/smtp": told("silent_drop", alone(1)),
    "loop-refused/smtp": told("refused", [step % 10 < 2 for step in range(SESSIONS)]),
}


def pages(paths: str) -> str:
    """PromQL: how often a page began, for each alert and path."""
    firing = f'ALERTS{{alertstate="firing",severity="critical",path=~"{paths}-.+"}}'
    return f"count_over_time(({firing} unless {firing} offset {EVALUATED}s)[3h:{EVALUATED}s])"


def asked(expression: str, value: int) -> dict[str, Any]:
    """At the end, of all paths together; 0 is nothing."""
    samples = [{"labels": "{}", "value": value}] if value else []
    return {"expr": expression, "eval_time": f"{4 + SESSIONS * INTERVAL // 60}m", "exp_samples": samples}


def test_what_fails_in_part_by_chance_stays_a_page_and_what_fails_alone_is_none(tmp_path: Path) -> None:
    case = Case(name="by chance", vantages=(Vantage(name="lan", scripts=SCRIPTS),), fires={}, scrape=INTERVAL)
    story = unit_tests([case], RULES, evaluated=EVALUATED)
    story["tests"][0]["promql_expr_test"] = [
        asked(f"count({pages('half')} <= 2)", 2),
        asked(f"count({pages('third')} <= 4)", 2),
        asked(f"count({pages('less')} <= 4)", 4),
        asked(f"count({pages('loop')})", 0),
        asked(f"count({pages('alone')})", 0),
    ]
    play("host", story, tmp_path)
