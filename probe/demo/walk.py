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


WELCOME = """\
A mail server, a network in front of it and other people's clients now run on this machine's loopback addresses.
The probe opens real sessions through {address} and looks for each of them in the server's log.
"""

TITLE = """
{number} of {all}: {title}
{changed}
{look_for}
"""

NEXT_STEPS = """
That was the demo; everything it started is gone again. For your own mail server:
  1. cp mailprobe.example.yaml mailprobe.yaml     and name your paths, networks and logs in it
  2. probe check-config                           says what is wrong with it, all at once
  3. probe --once                                 the table above, for your server
"""


async def walk(world: DemoWorld, *, judge_round: JudgeRound, tell: Tell) -> tuple[Visited, ...]:
    """Visit all steps, telling each; the caller says goodbye with NEXT_STEPS once the world is gone."""
    tell(WELCOME.format(address=VIRTUAL))
    return tuple([await _visit(world, number, judge_round=judge_round, tell=tell) for number in range(len(STEPS))])


async def _visit(world: DemoWorld, number: int, *, judge_round: JudgeRound, tell: Tell) -> Visited:
    step = STEPS[number]
    tell(
        TITLE.format(number=number + 1, all=len(STEPS), title=step.title, changed=step.changed, look_for=step.look_for)
    )
    await world.change_to(step.scene)
    found = await judge_round(world.config_file)
    tell(found)
    return Visited(step=step, round=found)
