"""The lab by hand.

    python -m tests.lab list                      the scenarios
    python -m tests.lab table                     the same in Markdown, as in docs/scenarios.md
    python -m tests.lab reap                      remove what dead owners left
    python -m tests.lab generations               which server generations this machine offers
    python -m tests.lab SCENARIO [--generation G] [--source KIND] [--probe PATH] [--hold]

Exit code: that of the probe; 0 without one; 3 when there can be no lab here.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import signal
import sys
from pathlib import Path

from tests.lab import SCENARIOS, Case, Generation, Lab, Scenario, find_all, reap, usable
from tests.lab.addresses import SERVICES
from tests.lab.ways import WAYS, Way

UNUSABLE = 3


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.lab", description="Run one scenario of the lab by hand.")
    parser.add_argument("scenario", help="a scenario's name, or: list, reap, generations")
    parser.add_argument("--generation", help="default: the first usable one")
    parser.add_argument("--source", choices=list(WAYS), default="file", help="how the servers' lines reach the probe")
    parser.add_argument("--probe", type=Path, help="default: the probe beside this Python, or the one on PATH")
    parser.add_argument("--hold", action="store_true", help="keep the lab until Ctrl-C")
    given = parser.parse_args()
    match given.scenario:
        case "list":
            return _list()
        case "table":
            print(markdown())
            return 0
        case "reap":
            print("removed:", ", ".join(reap()) or "nothing")
            return 0
        case "generations":
            return _generations()
        case name if name in SCENARIOS:
            return _show(SCENARIOS[name], given)
        case name:
            print(f"no scenario {name}; known: {', '.join(SCENARIOS)}", file=sys.stderr)
            return 64


def _list() -> int:
    width = max(map(len, SCENARIOS))
    for scenario in SCENARIOS.values():
        print(f"{scenario.name:{width}}  {scenario.what}")
        print(f"{'':{width}}  -> {_verdicts(scenario)}")
    return 0


def markdown() -> str:
    """The table of docs/scenarios.md: a row per scenario, a column per service; both generations agree."""
    rows = ["| what is done | " + " | ".join(SERVICES) + " |", "|---" * (len(SERVICES) + 1) + "|"]
    for scenario in SCENARIOS.values():
        due = [scenario.expected.get(service) for service in SERVICES]
        cells = [_cell(one.verdict, one.masked_by) if one else "–" for one in due]
        rows.append(f"| `{scenario.name}`: {scenario.what} | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def _cell(verdict: str, masked_by: str | None) -> str:
    return f"{verdict} by {masked_by}" if masked_by else verdict


def _verdicts(scenario: Scenario) -> str:
    verdicts = {
        service: due.verdict + (f" by {due.masked_by}" if due.masked_by else "")
        for service in SERVICES
        if (due := scenario.expected.get(service))
    }
    if len(verdicts) == len(SERVICES) and len(set(verdicts.values())) == 1:
        return next(iter(verdicts.values()))
    return ", ".join(f"{service}: {verdict}" for service, verdict in verdicts.items())


def _generations() -> int:
    for found in find_all().values():
        if isinstance(found, Generation):
            print(f"{found.name}: Postfix {found.postfix}, Dovecot {found.dovecot}, from {found.root}")
        else:
            print(f"{found.name}: not usable: {found.reason}")
    return 0 if usable() else UNUSABLE


def _show(scenario: Scenario, given: argparse.Namespace) -> int:
    generation = given.generation
    if not usable() or (generation and generation not in usable()):
        _generations()
        return UNUSABLE
    with Lab(generation=generation or next(iter(usable()))) as lab, lab.in_force(scenario) as case:
        print(
            f"{lab.generation.name}, {scenario.name}: {scenario.what}\nexpected: {_verdicts(scenario)}\n",
            flush=True,
        )
        with WAYS[given.source](lab) as way:
            code = _probe(lab, way, case, given.probe)
        if given.hold:
            _hold(lab, case)
    return code


def _probe(lab: Lab, way: Way, case: Case, given: Path | None) -> int:
    probe = given or _find_probe()
    if probe is None:
        print("There is no probe command yet, neither beside this Python nor on PATH.")
        return 0
    return lab.popen(way.command([str(probe), "--once", "--config", str(way.config(case))])).wait()


def _find_probe() -> Path | None:
    beside = Path(sys.executable).with_name("probe")
    if beside.exists():
        return beside
    return Path(found) if (found := shutil.which("probe")) else None


def _hold(lab: Lab, case: Case) -> None:
    outside = f"ip netns exec {lab.namespace('vantage')}"
    filters = "ip6tables" if ":" in case.scenario.host else "iptables"
    vanish = f"ip netns exec {lab.namespace('router')} {filters} -I FORWARD -d {case.scenario.host} -j DROP"
    print(
        f"""
The lab stays until Ctrl-C.
  a round, outside     {outside} {_find_probe() or "probe"} --once --config {case.config_file}
  a shell there        {outside} bash
  packets vanish       {vanish}     (-D for -I: no more)
  other places         {", ".join(lab.namespace(role) for role in ("router", "lan", "node1", "node2", "pod"))}
  configuration        {case.config_file}
  Postfix's log        {lab.postfix_log}
  Dovecot's log        {lab.dovecot_log}""",
        flush=True,
    )
    with contextlib.suppress(KeyboardInterrupt):
        signal.pause()


if __name__ == "__main__":
    sys.exit(main())
