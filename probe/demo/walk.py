"""`probe demo`: the whole product in half a minute, on this machine alone.

The walk changes the world, lets the probe judge it, shows what the probe found, and goes on. It knows neither how a
round is made nor how it is printed: both come as callables, so that what is shown is the product and not a film of it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from probe.demo.scenes import STEPS, Step
from probe.demo.world import VIRTUAL, DemoWorld
from probe.model import Round

JudgeRound = Callable[[Path], Awaitable[Round]]
"""Makes one round with a configuration file: what `probe --once` does."""

Tell = Callable[[str | Round], None]
"""Shows a piece of text, or a round as a table."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Visited:
    """A step and what the probe found there."""

    step: Step
    round: Round


class Heading(str):
    """The line that opens a step."""

    __slots__ = ()


WELCOME = """\
A mail server, a network in front of it and other people's mail programs now live on this machine's loopback addresses.
The probe opens real sessions through {address} and looks for each one in the server's log."""

NEXT_STEPS = """
That was the demo; everything it started is gone again. For your own mail server, once it is installed
(docs/getting-started.md; from a checkout it is .venv/bin/probe):
  1. cp mailprobe.example.yaml mailprobe.yaml    and write your paths, networks and logs into it
  2. probe check-config                          tells every fault in it at once
  3. probe --once                                prints the table above for your server"""


async def walk(world: DemoWorld, *, judge_round: JudgeRound, tell: Tell) -> tuple[Visited, ...]:
    """Visit all steps, telling each; the caller says NEXT_STEPS once the world is gone."""
    tell(WELCOME.format(address=VIRTUAL))
    return tuple([await _visit(world, number, judge_round=judge_round, tell=tell) for number in range(len(STEPS))])


async def _visit(world: DemoWorld, number: int, *, judge_round: JudgeRound, tell: Tell) -> Visited:
    step = STEPS[number]
    tell(Heading(f"\n{number + 1} of {len(STEPS)}: {step.title}"))
    tell(f"{step.changed}\n{step.look_for}\n")
    await world.change_to(step.scene)
    found = await judge_round(world.config_file)
    tell(found)
    return Visited(step=step, round=found)
