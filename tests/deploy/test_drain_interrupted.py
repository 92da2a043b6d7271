"""The drain script when it is interrupted: what becomes of the drain, what is told of it, who is left."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import pytest

from tests.deploy.drain_stage import (
    BASELINE,
    ENDED,
    FAILS_ONCE_IT_HANGS,
    HANGS,
    IS_THERE,
    PATIENCE,
    SCRIPT,
    WATCHES_ON,
    WRAPPED,
    Stage,
    play_at_once,
    wait_for,
    write_program,
)
from tests.deploy.test_drain_recipes import recipe


def test_who_is_interrupted_before_anything_is_touched_is_not_told_to_uncordon(stage: Stage) -> None:
    """Somebody else may have cordoned the node."""
    stage.plays(once_1=': >"$STAGE/asking"\nwhile :; do sleep 0.02; done\n')
    with stage.begin("node1") as started:
        wait_for(lambda: stage.has("asking"))
        started.send_signal(signal.SIGINT)
        _, errors = started.communicate(timeout=PATIENCE)
    assert started.returncode == 130
    assert "interrupted; nothing was touched" in errors
    assert "uncordon" not in errors


@pytest.mark.parametrize("send", [os.kill, os.killpg], ids=["alone", "group"])
def test_a_word_that_nobody_has_taken_yet_is_taken_back(stage: Stage, send: Callable[[int, int], None]) -> None:
    """Who is interrupted right after the drain was told does not hear of one that failed."""
    late = '#!/bin/sh\n: >"$STAGE/taking"\nwhile [ -e "$1" ]; do sleep 0.02; done\nexec /bin/mv "$@"\n'
    write_program(stage.directory / "mv", late)
    stage.plays(watch_1=WATCHES_ON)
    with stage.begin("node1") as started:
        try:
            wait_for(lambda: stage.has("taking"))
            send(started.pid, signal.SIGHUP)
            _, errors = started.communicate(timeout=PATIENCE)
        finally:
            started.terminate()
    assert started.returncode == 143
    assert "ended; nothing was touched" in errors
    assert "uncordon" not in errors
    assert "failed" not in errors
    assert [call for call in stage.asked if call.startswith("kubectl")] == []


def test_a_drain_whose_process_is_lost_before_it_begins_ends_the_watch(stage: Stage) -> None:
    stage.plays(watch_1='kill -s KILL "$3"\n' + WATCHES_ON.removeprefix(BASELINE))
    code, errors = stage.run("node1")
    assert code == 70
    assert "the process that was to become kubectl drain was lost (exit code 137); nothing was touched" in errors
    assert stage.has("reported")
    assert [call for call in stage.asked if call.startswith("kubectl")] == []
    assert "uncordon" not in errors


def test_who_is_interrupted_as_the_drain_ends_says_that_it_was_done(stage: Stage) -> None:
    stage.plays(watch_1=WATCHES_ON, drain_1='kill -s TERM "$(cat "$STAGE/script")"\n')
    with stage.begin("node1") as started:
        (stage.directory / "script").write_text(f"{started.pid}")
        _, errors = started.communicate(timeout=PATIENCE)
    assert started.returncode == 143
    assert ("kubectl drain has ended" in errors) is not (ENDED in errors)


def test_a_drain_that_was_done_is_not_said_to_be_ended_though_a_signal_met_it(stage: Stage) -> None:
    done = "trap 'exit 0' TERM\n" + IS_THERE + "while :; do sleep 0.02; done\n"
    stage.plays(watch_1=WATCHES_ON, drain_1=done)
    with stage.begin("node1") as started:
        try:
            wait_for(lambda: stage.has("hangs"))
        finally:
            started.terminate()
        _, errors = started.communicate(timeout=PATIENCE)
    assert started.returncode == 143
    assert "kubectl drain has ended" in errors
    assert ENDED not in errors


@pytest.mark.parametrize(
    ("sent", "wrapped"),
    [
        (signal.SIGINT, True),
        (signal.SIGTERM, False),
        (signal.SIGHUP, False),
        (signal.SIGQUIT, True),
        (signal.SIGPIPE, False),
    ],
)
def test_who_is_interrupted_leaves_nobody_behind(tmp_path: Path, sent: signal.Signals, *, wrapped: bool) -> None:
    """The script alone, or its group, as a terminal does."""
    wrapping = WRAPPED if wrapped else {}

    def play(stage: Stage, shell: str, send: Callable[[int, int], None]) -> None:
        stage = replace(stage, shell=shell, wrapping=wrapping)
        stage.plays(watch_1=WATCHES_ON, drain_1=HANGS)
        with stage.begin("node1") as started:
            try:
                wait_for(lambda: stage.has("hangs"))
                send(started.pid, sent)
                _, errors = started.communicate(timeout=PATIENCE)
            finally:
                started.kill()
        assert started.returncode == (130 if sent is signal.SIGINT else 143)
        assert "kubectl uncordon node1 gives the node back" in errors
        assert ENDED in errors
        assert stage.has("reported")
        wait_for(lambda: not stage.still_drains())

    play_at_once(tmp_path, play, product(("sh", "bash"), (os.kill, os.killpg)))


def test_a_terminal_that_is_stopped_holds_up_nothing(tmp_path: Path) -> None:
    def play(stage: Stage, shell: str, watch: str, told: int) -> None:
        stage = replace(stage, shell=shell)
        stage.plays(watch_1=watch, drain_1=HANGS)
        ours, theirs = pty.openpty()
        os.write(ours, b"\x13")  # Ctrl-S
        with stage.begin("node1", onto=theirs) as started:
            try:
                wait_for(lambda: stage.has("hangs"))
                if told == 143:
                    started.terminate()
                assert started.wait(PATIENCE) == told
            finally:
                started.kill()
                os.close(theirs)
                os.close(ours)
        wait_for(lambda: not stage.still_drains())

    ends = ((FAILS_ONCE_IT_HANGS, 2), (WATCHES_ON, 143))
    play_at_once(tmp_path, play, ((shell, *end) for shell in ("sh", "bash") for end in ends))


def test_who_is_killed_leaves_no_drain_and_nothing_in_the_way(tmp_path: Path) -> None:
    """SIGKILL, to the script alone or to its group, before the baseline and amid the drain; a zombie is nobody."""

    def play(stage: Stage, shell: str, send: Callable[[int, int], None], baseline: str) -> None:
        stage = replace(stage, shell=shell)
        (stage.directory / "tmp").mkdir()
        waits = "" if baseline else IS_THERE.replace("$$", '"$3"')
        watch = 'echo $$ >"$STAGE/watches"\n' + waits + baseline + WATCHES_ON.removeprefix(BASELINE)
        stage.plays(watch_1=watch, drain_1=HANGS)
        with stage.begin("node1") as started:
            try:
                wait_for(lambda: stage.has("hangs"))
                send(started.pid, signal.SIGKILL)
                wait_for(lambda: not stage.still_drains())
            finally:
                os.kill(int((stage.directory / "watches").read_text()), signal.SIGTERM)
            _, errors = started.communicate(timeout=PATIENCE)
        if send is os.kill:
            said = "killed, which ends kubectl drain within seconds; kubectl uncordon node1 gives the node back"
            assert (said if baseline else "killed; nothing was touched") in errors
            assert list((stage.directory / "tmp").iterdir()) == []

    play_at_once(tmp_path, play, product(("sh", "bash"), (os.kill, os.killpg), ("", BASELINE)))


def test_who_is_interrupted_with_its_tee_tells_the_terminal(tmp_path: Path) -> None:
    def play(stage: Stage, shell: str, tee: str) -> None:
        stage.plays(watch_1=WATCHES_ON, drain_1=HANGS)
        ours, theirs = pty.openpty()
        with stage.type(f'trap : INT\n{shell} "{SCRIPT}" node1 2>&1 | {tee} log >/dev/null\n', theirs) as started:
            try:
                wait_for(lambda: stage.has("hangs"))
                os.write(ours, b"\x03")
                started.communicate(timeout=PATIENCE)
                shown = os.read(ours, 65536).decode()
            finally:
                started.kill()
                os.close(theirs)
                os.close(ours)
        told = shown if tee == "tee" else (stage.directory / "log").read_text()
        assert (ENDED in told, "kubectl uncordon node1 gives the node back" in told) == (True, True), told
        assert (tee == "tee") is ("drain.sh" in shown)
        wait_for(lambda: not stage.still_drains())

    play_at_once(tmp_path, play, product(("sh", "bash"), ("tee", "tee -i")))


@dataclass(frozen=True)
class Recipe:
    page: str
    change: str
    call: str
    """Of kubectl, amid which it is interrupted."""

    does: str
    word: str


RECIPES = (
    Recipe("watch.md", "kubectl drain", "drain-1", HANGS, "kubectl uncordon node1 gives the node back"),
    Recipe("drains.md", "rollout restart", "-n-2", HANGS, "k8s-node1 stays cordoned if it was"),
    Recipe("drains.md", "kubectl -n mailserver patch", "-n-1", IS_THERE, "a policy that was flipped stays so"),
)


INTERRUPTED: dict[str, Callable[[subprocess.Popen[str], int], object]] = {
    "by Ctrl-C": lambda script, terminal: os.write(terminal, b"\x03"),
    "by SIGTERM": lambda script, terminal: script.terminate(),
    "with its group": lambda script, terminal: os.killpg(script.pid, signal.SIGHUP),
}


@pytest.mark.parametrize("how", INTERRUPTED)
def test_a_recipe_that_is_interrupted_ends_what_it_began_with_a_word(tmp_path: Path, how: str) -> None:
    """Before the baseline, when nothing is to be touched, and amid the change. A second signal costs the report."""
    watches = IS_THERE.replace("hangs", "watches").replace("hanging", "watching")

    def play(stage: Stage, shell: str, told: Recipe, baseline: str) -> None:
        stage.plays(watch_1=baseline + WATCHES_ON.removeprefix(BASELINE).replace("while", watches + "while"))
        (stage.directory / f"kubectl-{told.call}").write_text(told.does, encoding="utf-8")
        ours, theirs = pty.openpty()
        with replace(stage, shell=shell).type(recipe(told.page, told.change), theirs) as started:
            try:
                wait_for(lambda: stage.has("watches") and (not baseline or stage.has("hangs")))
                INTERRUPTED[how](started, ours)
                _, said = started.communicate(timeout=PATIENCE)
            finally:
                started.kill()
                os.close(theirs)
                os.close(ours)
        assert (started.returncode, stage.has("reported"), told.word in said) == (130, True, True), said
        assert baseline or [call for call in stage.asked if call.startswith("kubectl") and "get" not in call] == []
        wait_for(lambda: not baseline or not stage.still_drains())

    play_at_once(tmp_path, play, product(("sh", "bash"), RECIPES, ("", BASELINE)))


@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_who_has_ended_and_is_only_waited_for_is_not_alive(shell: str) -> None:
    (alive,) = re.findall(r"^alive\(\) \{\n.*?^\}$", SCRIPT.read_text(encoding="utf-8"), re.M | re.S)
    with subprocess.Popen(["true"]) as zombie:
        os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
        script = f'{alive}\nalive {zombie.pid} || echo ended\nalive $$ && echo "$0 lives"\n'
        done = subprocess.run(
            [shell, "-c", script, "it"], capture_output=True, text=True, timeout=PATIENCE, check=False
        )
    assert (done.stdout, done.stderr) == ("ended\nit lives\n", "")
