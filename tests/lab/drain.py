"""A drain, played: the pod moves to the other node, and the address follows late. The lab's own record of the gap.

Rule 1: each of the two moments that matter is one command, and the same shell reads the clock right before and right
        after it: the truth lies between the two readings.
Rule 2: what must follow (routes, the other node's rules, health checks) follows at once, and changes nothing for
        whoever comes by the address.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from subprocess import PIPE
from typing import Any

from tests.lab import SCENARIOS, Lab
from tests.lab.addresses import NODES, VIP
from tests.lab.world import NetworkState, enter, rules

PROBE = Path(sys.executable).with_name("probe")
CLOCK = "date +%s.%N"
WATCHING = "the baseline is there"
BETWEEN = 1.5
"""Seconds between two drains: longer than a knock may wait for its answer."""

AMPLE = {"max_sessions_per_minute": 60}


@dataclass(frozen=True, slots=True)
class Moment:
    """Something happened between these two readings of the wall clock."""

    after: float
    by: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Drained:
    """When the announcing node lost the pod, and when packets began to go to the other one."""

    went: Moment
    came_back: Moment

    def off_by(self, seconds: float) -> float:
        """By how much such a length misses the truth, which is known as well as the clock was read."""
        shortest, longest = self.came_back.after - self.went.by, self.came_back.by - self.went.after
        return max(shortest - seconds, seconds - longest, 0.0)

    def holds(self, outage: dict[str, Any]) -> bool:
        """Whether the edges that were told hold the moments at which it happened."""
        return _meets(self.went, outage["began"]) and _meets(self.came_back, outage["ended"])


def drain(lab: Lab, before: NetworkState, late: float, *, vantage: str = "lan") -> tuple[NetworkState, Drained]:
    """Move pod and address away from the node that has both; the address follows `late` seconds after the pod.

    `vantage`: whose neighbour table decides where packets go, the router's for all who are outside.
    """
    here = before.pod_host
    there = next(node for node in NODES if node != here)
    moved = replace(before, pod_host=there)
    went = _timed(lab, here, _restore(here, moved))
    lab.apply_network(moved)  # the rest of it
    time.sleep(max(0.0, went.by + late - time.time()))  # for how long the address stays behind is what is played
    for node, verb in ((there, "replace"), (here, "del")):
        enter(lab.name, node, "".join(f"ip {line}\n" for line in _addresses(verb)))
    came_back = _timed(lab, "router" if vantage == "vantage" else vantage, "ip neigh flush all")
    # Nothing else is left to do, and to write kube-proxy's rules anew would be a disturbance of its own.
    return replace(moved, announcer=there), Drained(went=went, came_back=came_back)


def watched_drains(lab: Lab, lates: Iterable[float], *, vantage: str = "lan") -> tuple[dict[str, Any], list[Drained]]:
    """One `probe watch` over drains in a row, to and fro: what it told as JSON, and the lab's own record."""
    case = lab.apply(replace(SCENARIOS["local"], vantage=vantage))
    config = case.config_file.with_name("watch.yaml")
    config.write_text(json.dumps({**json.loads(case.config_file.read_text()), "schedule": AMPLE}))
    command = [str(PROBE), "watch", "--config", str(config), "--format", "json"]
    watch = lab.popen(command, namespace=vantage, stdout=PIPE, stderr=PIPE)
    assert watch.stderr is not None
    state, record = NetworkState(), []
    said = ""
    for line in watch.stderr:
        said += line
        if WATCHING in line:
            break
    for late in lates:
        state, drained = drain(lab, state, late, vantage=vantage)
        record.append(drained)
        time.sleep(BETWEEN)  # how long the path is well between two drains is played too
    watch.send_signal(signal.SIGINT)
    out, err = watch.communicate(timeout=60)
    assert out.startswith("{"), said + err
    told: dict[str, Any] = json.loads(out)
    return told, record


def unreachable(endpoint: dict[str, Any]) -> list[dict[str, Any]]:
    """The stretches without answers of an endpoint, of the watch's JSON."""
    return [outage for outage in endpoint["outages"] if outage["kind"] == "unreachable"]


def _restore(node: str, state: NetworkState) -> str:
    return f"iptables-restore <<'END'\n{rules(node, state, ipv6=False).restore_text()}END"


def _addresses(verb: str) -> list[str]:
    more = (" preferred_lft 0", " preferred_lft 0 nodad") if verb == "replace" else ("", "")
    return [f"addr {verb} {VIP.v4}/32 dev eth0{more[0]}", f"addr {verb} {VIP.v6}/128 dev eth0{more[1]}"]


def _timed(lab: Lab, role: str, command: str) -> Moment:
    after, by = enter(lab.name, role, f"{CLOCK}\n{command}\n{CLOCK}\n").split()
    return Moment(float(after), float(by))


READ = 0.002
"""Seconds between a probe's reading of its clock and the SYN, and the milliseconds to which it tells."""


def _meets(moment: Moment, edge: dict[str, str]) -> bool:
    """Whether an edge and a moment, each between two readings, may be one."""
    after, by = (datetime.fromisoformat(edge[key]).timestamp() for key in ("after", "by"))
    return after <= moment.by + READ and by >= moment.after - READ
