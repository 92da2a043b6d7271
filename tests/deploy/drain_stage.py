"""A stage for the drain script, on which probe and kubectl are played.

Each call is written down, then done as a fragment of shell for that call says. Without a fragment a call succeeds
at once.
"""

from __future__ import annotations

import os
import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tests.deploy.chart import REPOSITORY

SCRIPT = REPOSITORY / "deploy/drain.sh"
PATIENCE = 20.0
STAGE = """#!/bin/sh
[ "$1" != --once ] || set -- once "$@"
printf '%s\\n' "{name} $*" >>"$STAGE/asked"
number=$(grep -c "^{name} $1" "$STAGE/asked")
[ ! -e "$STAGE/{name}-$1-$number" ] || . "$STAGE/{name}-$1-$number"
exit 0
"""
BASELINE = 'echo "12:00:00 the baseline is there: watching, the change may begin" >&2\n'
STABLE = BASELINE + 'while kill -0 "$3" 2>/dev/null; do sleep 0.02; done\nsleep 0.1\n'
"""A watch that lasts until the process of its --while has ended, and is then stable."""

OVER = ': >"$STAGE/over"\n'
IS_THERE = 'echo $$ >"$STAGE/hanging"\nmv "$STAGE/hanging" "$STAGE/hangs"\n'
HANGS = IS_THERE + "while :; do sleep 0.02; done\n"
FAILS_ONCE_IT_HANGS = BASELINE + 'while [ ! -e "$STAGE/hangs" ]; do sleep 0.02; done\nexit 2\n'
HEEDS_NOTHING = 'trap "" TERM\n' + IS_THERE + "while :; do sleep 1; done\n"
ENDS = 'trap "exit 1" INT HUP TERM; sleep 0.3; : >"$STAGE/reported"; exit 2'
WATCHES_ON = BASELINE + f"trap '{ENDS}' INT HUP TERM\nwhile :; do sleep 0.02; done\n"
"""A watch that reports a while after a signal, unless another one follows."""

AS_ANOTHER = "setpriv --reuid=65533 --inh-caps=+dac_override --ambient-caps=+dac_override"
"""What sudo does for a user: the process is one that may do its work, and that whoever began it may not end."""


WRAPPED = {name: f'{name} "$@"\nexit $?' for name in ("probe", "kubectl")}
MERE_USER = ("setpriv", "--bounding-set=-kill", "--inh-caps=-kill")


ONE_AT_A_TIME = threading.Lock()
"""Whoever begins a process while a program is written leaves it open there for a moment: "Text file busy"."""


def write_program(place: Path, text: str) -> None:
    with ONE_AT_A_TIME:
        place.write_text(text, encoding="utf-8")
    place.chmod(0o755)


@dataclass(frozen=True)
class Stage:
    """A directory with both programs and what they are to do."""

    directory: Path
    shell: str = "sh"
    wrapping: Mapping[str, str] = field(default_factory=dict)
    """For probe and kubectl, what stands in their place as shell."""

    mere_user: bool = False
    """Root's files, but no way to end what another user runs."""

    @property
    def environment(self) -> dict[str, str]:
        """Where a stage has a `tmp` it is for temporary files."""
        own = {"TMPDIR": str(self.directory / "tmp")} if self.has("tmp") else {}
        return {"PATH": f"{self.directory}:{os.environ['PATH']}", "STAGE": str(self.directory), **own}

    @property
    def wrappers(self) -> dict[str, str]:
        """Programs of the environment that run what they wrap."""
        for name, body in self.wrapping.items():
            write_program(self.directory / f"our-{name}", f"#!/bin/sh\n{body}\n")
        return {name.upper(): f"our-{name}" for name in self.wrapping}

    def plays(self, **fragments: str) -> None:
        """What a call does: once_1 is the first `probe --once`, watch_2 the second watch, drain_1 kubectl's."""
        for call, fragment in fragments.items():
            verb, number = call.split("_")
            program = "kubectl" if verb in ("drain", "version") else "probe"
            (self.directory / f"{program}-{verb}-{number}").write_text(fragment, encoding="utf-8")

    def begin(self, *arguments: str, onto: int = subprocess.PIPE) -> subprocess.Popen[str]:
        """In a process group of its own, as from a shell's prompt: no signal is ignored, be the tests run by nohup."""
        drops = MERE_USER if self.mere_user else ()
        environment = {**self.environment, **self.wrappers}
        with ONE_AT_A_TIME:
            return subprocess.Popen(
                [*drops, "env", "--default-signal", self.shell, str(SCRIPT), *arguments],
                env=environment,
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=onto,
                stderr=onto,
                text=True,
                start_new_session=True,
            )

    def run(self, *arguments: str) -> tuple[int, str]:
        """Exit code and standard error."""
        with self.begin(*arguments) as started:
            _, errors = started.communicate(timeout=PATIENCE)
        return started.returncode, errors

    def type(self, block: str, terminal: int = subprocess.DEVNULL) -> subprocess.Popen[str]:
        """A recipe as a script, from this terminal or from none."""
        (self.directory / "recipe").write_text(block, encoding="utf-8")
        with ONE_AT_A_TIME:
            return subprocess.Popen(
                ["env", "--default-signal", "setsid", *(() if terminal < 0 else ("--ctty",)), self.shell, "recipe"],
                env=self.environment,
                cwd=self.directory,
                stdin=terminal,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )

    @property
    def asked(self) -> list[str]:
        """Every call so far, but those that only show whose processes these are."""
        file = self.directory / "asked"
        calls = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
        told = [call for call in calls if call not in ("probe --version", "kubectl version --client")]
        return [re.sub(r"--while \d+", "--while PID", call) for call in told]

    def has(self, name: str) -> bool:
        return (self.directory / name).exists()

    def still_drains(self) -> bool:
        """Whether the kubectl that hangs is there yet."""
        try:
            os.kill(int((self.directory / "hangs").read_text()), 0)
        except ProcessLookupError:
            return False
        return True


ENDED = "kubectl drain was ended before it was done"


def wait_for(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.01)


def furnished(directory: Path) -> Stage:
    """Its wall clock stands still: who counts by it never ends."""
    directory.mkdir(exist_ok=True)
    write_program(directory / "date", "#!/bin/sh\necho 0\n")
    for name in ("probe", "kubectl"):
        write_program(directory / name, STAGE.format(name=name))
    return Stage(directory)


def play_at_once(directory: Path, play: Callable[..., None], cases: Iterable[tuple[object, ...]]) -> None:
    """Each case on a stage of its own: what takes its time is patience, which costs nothing."""
    stages = [(furnished(directory / str(number)), *case) for number, case in enumerate(cases)]
    with ThreadPoolExecutor(len(stages)) as pool:
        for played in [pool.submit(play, *case) for case in stages]:
            played.result()
