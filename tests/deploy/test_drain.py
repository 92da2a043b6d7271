"""The drain script: what it asks of probe and kubectl, in which order, and what it leaves alone."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
from contextlib import suppress
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest

from tests.deploy.drain_stage import (
    AS_ANOTHER,
    BASELINE,
    ENDED,
    FAILS_ONCE_IT_HANGS,
    HANGS,
    HEEDS_NOTHING,
    OVER,
    PATIENCE,
    SCRIPT,
    STABLE,
    WATCHES_ON,
    WRAPPED,
    Stage,
    play_at_once,
    wait_for,
    write_program,
)
from tests.deploy.test_drain_recipes import recipe

SHELLS = pytest.mark.parametrize("shell", ["sh", "bash"])


@SHELLS
def test_a_drain_is_gated_before_watched_and_gated_after(stage: Stage, shell: str) -> None:
    stage = replace(stage, shell=shell)
    stage.plays(watch_1=STABLE, drain_1=OVER)
    code, errors = stage.run("--stable", "1", "--max-outage", "90", "--before", "5", "--after", "6", "node1")
    assert code == 0, errors
    called = (stage.directory / "asked").read_text(encoding="utf-8").splitlines()
    assert called[:2] == ["probe --version", "kubectl version --client"]
    assert stage.asked == [
        "probe once --once --wait 5",
        "probe watch --while PID --until-stable 1 --max-outage 90 --report drain-node1-1.html",
        "kubectl drain node1 --ignore-daemonsets --timeout=30m",
        "probe once --once --wait 6",
    ]
    assert "the baseline is there" in errors
    assert "what was watched is in drain-node1-1.html" in errors
    (pager,) = [line for line in errors.splitlines() if "amtool" in line]
    assert pager == (
        """drain.sh:   amtool silence add 'alertname=~"Mailprobe.+"' --duration=45m --comment='drain of node1'"""
    )


def test_arguments_reach_who_they_are_for(stage: Stage) -> None:
    stage.plays(watch_1=STABLE, drain_1=OVER)
    ours = ("--config", "my file.yaml", "--path", "vip", "--path=the o'ther \"\\", "--stable=1", "--report", "r.html")
    code, errors = stage.run(*ours, "node1", "--timeout", "2m", "--pod-selector=app=mail server")
    assert code == 0, errors
    selection = "--config my file.yaml --path vip --path the o'ther \"\\"
    assert stage.asked[0] == f"probe once --once --wait 60 {selection}"
    assert stage.asked[1] == f"probe watch --while PID --until-stable 1 --max-outage 120 --report r-1.html {selection}"
    assert stage.asked[2] == "kubectl drain node1 --timeout 2m --pod-selector=app=mail server"
    lines = [shlex.split(line.removeprefix("drain.sh:")) for line in errors.splitlines() if "amtool" in line]
    assert [line[3:5] for line in lines] == [
        ['alertname=~"Mailprobe.+"', 'path="vip"'],
        ['alertname=~"Mailprobe.+"', r'''path="the o'ther \"\\"'''],
    ]


def test_a_node_is_named_as_kubectl_takes_it(stage: Stage) -> None:
    stage.plays(watch_1=STABLE, drain_1=OVER)
    code, errors = stage.run("--stable", "1", "node/node1")
    assert (code, stage.asked[2]) == (0, "kubectl drain node1 --ignore-daemonsets --timeout=30m"), errors
    assert stage.asked[1].endswith("--report drain-node1-1.html")


def test_no_report_takes_the_place_of_another(stage: Stage) -> None:
    for number in (1, 2, 4):
        (stage.directory / f"drain-node1-{number}.html").touch()
    stage.plays(watch_1=STABLE, drain_1=OVER)
    code, errors = stage.run("--stable", "1", "node1")
    assert code == 0, errors
    assert stage.asked[1].endswith("--report drain-node1-3.html")
    assert "what was watched is in drain-node1-3.html" in errors


@pytest.mark.parametrize("verdict", [1, 2, 3])
def test_where_not_all_is_well_nothing_is_touched(stage: Stage, verdict: int) -> None:
    stage.plays(once_1=f"exit {verdict}\n")
    code, errors = stage.run("node1")
    assert code == verdict
    assert "nothing was touched" in errors
    assert len(stage.asked) == 1


@pytest.mark.parametrize(
    ("ended", "told"), [(2, 2), (1, 1), (3, 3), (0, 3)], ids=["refused", "limited", "not shown", "ended by itself"]
)
def test_without_a_baseline_nothing_is_touched(stage: Stage, ended: int, told: int) -> None:
    hint = ", or watch it all the same with --from-broken" if ended == 2 else ""
    stage.plays(watch_1=f"echo 'probe: refuses to watch{hint}' >&2; exit {ended}\n")
    code, errors = stage.run("node1")
    assert code == told
    assert "refuses to watch" in errors
    assert f"the watch did not begin, see above (exit code {told}, drain-node1-1.html); nothing was touched" in errors
    assert ("--from-broken is for a watch by hand" in errors) is (ended == 2)
    assert [call for call in stage.asked if call.startswith("kubectl")] == []


def test_an_outage_that_is_too_long_stops_the_drain(tmp_path: Path) -> None:
    """One that heeds SIGTERM, and one that does not."""

    def play(stage: Stage, drain: str) -> None:
        stage = replace(stage, wrapping=WRAPPED)
        stage.plays(watch_1=FAILS_ONCE_IT_HANGS, drain_1=drain)
        code, errors = stage.run("node1")
        assert code == 2
        wait_for(lambda: not stage.still_drains())
        assert "kubectl uncordon node1 gives the node back" in errors
        assert ENDED in errors
        assert len(stage.asked) == 3

    play_at_once(tmp_path, play, ((HANGS,), (HEEDS_NOTHING,)))


ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
BENEATH_OR_IN_PLACE = ("", "exec ")


@ROOT
def test_what_could_not_be_ended_is_refused_before_anything_is_touched(tmp_path: Path) -> None:
    """Another user's process is not gone because a signal to it is refused."""

    def play(stage: Stage, name: str, becomes: str) -> None:
        (stage.directory / "probe---version-1").write_text("sleep 0.3\n", encoding="utf-8")
        stage.plays(version_1="sleep 0.3\n")
        stage = replace(stage, mere_user=True, wrapping={name: f'{becomes}{AS_ANOTHER} {name} "$@"'})
        code, errors = stage.run("node1")
        assert (code, stage.asked) == (64, []), errors
        assert f"{name.upper()} runs as another user, so it could not be ended: run drain.sh itself by sudo" in errors

    play_at_once(tmp_path, play, product(("probe", "kubectl"), BENEATH_OR_IN_PLACE))


@ROOT
def test_a_drain_that_becomes_another_user_s_is_not_said_to_be_ended(tmp_path: Path) -> None:
    def play(stage: Stage, shell: str, becomes: str) -> None:
        stage.plays(watch_1=FAILS_ONCE_IT_HANGS, drain_1=HANGS)
        late = f'[ "$1" = drain ] || exit 0\n{becomes}{AS_ANOTHER} kubectl "$@"'
        stage = replace(stage, shell=shell, mere_user=True, wrapping={"kubectl": late})
        code, errors = stage.run("node1")
        assert code == 2
        assert stage.still_drains()
        assert ENDED not in errors
        (told,) = [line for line in errors.splitlines() if "WAS NOT ENDED, it may evict still" in line]
        subprocess.run(["sh", "-c", told.partition("sudo ")[2].removesuffix(" ends it")], check=True)
        wait_for(lambda: not stage.still_drains())

    play_at_once(tmp_path, play, product(("sh", "bash"), BENEATH_OR_IN_PLACE))


def test_one_watch_lasts_as_long_as_the_drain(stage: Stage) -> None:
    """Whatever it comes to afterwards is told, and the clients' addresses are looked at all the same."""
    slow = 'while [ ! -e "$STAGE/on" ]; do sleep 0.02; done\n'
    watch = BASELINE + 'while ! grep -q "^kubectl drain" "$STAGE/asked"; do sleep 0.02; done\n: >"$STAGE/on"\n'
    stage.plays(watch_1=watch + STABLE + "exit 1\n", drain_1=slow)
    code, errors = stage.run("--stable", "1", "node1")
    assert code == 1, errors
    assert [call.split()[:2] for call in stage.asked] == [
        ["probe", "once"],
        ["probe", "watch"],
        ["kubectl", "drain"],
        ["probe", "once"],
    ]
    assert "the watch ended with exit code 1" in errors
    assert "node1 is drained; the watch ended with 1, and probe says 0" in errors
    assert ENDED not in errors


@pytest.mark.parametrize(("watched", "once", "code"), [(3, 1, 1), (1, 2, 2), (2, 0, 2), (3, 0, 3), (0, 3, 3)])
def test_the_worse_of_the_watch_and_of_the_end_is_the_result(stage: Stage, watched: int, once: int, code: int) -> None:
    stage.plays(watch_1=STABLE + f"exit {watched}\n", drain_1=OVER, once_2=f"exit {once}\n")
    assert stage.run("node1")[0] == code


def test_a_watch_that_is_lost_amid_the_drain_ends_it(stage: Stage) -> None:
    stage.plays(watch_1=FAILS_ONCE_IT_HANGS.replace("exit 2", "exit 0"), drain_1=HANGS)
    code, errors = stage.run("node1")
    assert (code, ENDED in errors) == (3, True)


def test_addresses_that_are_masked_afterwards_are_the_result(stage: Stage) -> None:
    stage.plays(watch_1=STABLE, drain_1=OVER, once_2="exit 2\n")
    code, errors = stage.run("--stable", "1", "node1")
    assert code == 2
    assert "node1 is drained; the watch ended with 0, and probe says 2" in errors


def test_a_drain_that_failed_is_told_apart(stage: Stage) -> None:
    stage.plays(watch_1=STABLE, drain_1=OVER + "echo 'cannot evict' >&2; exit 1\n")
    code, errors = stage.run("--stable", "1", "node1")
    assert code == 70
    assert "kubectl drain failed (exit code 1); the watch ended with 0, and probe says 0" in errors
    assert errors.count("kubectl uncordon node1 gives the node back") == 2, "at once, and at the end"


def test_a_drain_that_fails_is_told_at_once(stage: Stage) -> None:
    stage.plays(watch_1=STABLE, drain_1="echo 'cannot evict' >&2; exit 1\n")
    stage.plays(watch_1=STABLE + 'while [ ! -e "$STAGE/over" ]; do sleep 0.02; done\n')
    told = stage.directory / "told"
    with told.open("w") as onto, stage.begin("--stable", "1", "node1", onto=onto.fileno()) as started:
        try:
            wait_for(lambda: "kubectl drain failed (exit code 1), see above; watching" in told.read_text())
            assert "cannot evict" in told.read_text()
            (stage.directory / "over").touch()  # only now the watch goes on
            assert started.wait(PATIENCE) == 70
        finally:
            with suppress(ProcessLookupError):
                os.killpg(started.pid, signal.SIGKILL)


def test_a_drain_does_not_wait_for_ever_unless_it_is_told_to(stage: Stage) -> None:
    """A disruption budget may never let go of a pod."""
    stage.plays(watch_1=STABLE, drain_1=OVER)
    stage.run("--stable", "1", "node1", "--force", "--timeout=0")
    assert stage.asked[2] == "kubectl drain node1 --force --timeout=0"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "which node?"),
        (("--paht", "vip", "node1"), "unknown option --paht"),
        (("--timeout=2m", "node1"), "unknown option --timeout (options of kubectl drain come after the node's name)"),
        (("--after=", "node1"), "'' is no number of whole seconds"),
        (("--force", "node1"), "options of kubectl drain come after the node's name"),
        (("--before",), "--before needs a value"),
        (("pod/mail",), "'pod/mail' is no node's name"),
        (("--after", "2m", "node1"), "'2m' is no number of whole seconds"),
        (("--stable", "0", "node1"), "--stable has to be at least 1"),
        (("node1", "--max-outage=30"), "--max-outage=30 comes before the node's name"),
        (("node1", "--help"), "--help comes before the node's name"),
        (("node1", "node2"), "one node at a time: what is 'node2'?"),
        (("node1", "--ignore-daemonsets", "node2"), "one node at a time: what is 'node2'?"),
        (("node1", "--timeout", "2m", "node2"), "one node at a time: what is 'node2'?"),
        (("node1", "--timeout=2m", "node2"), "one node at a time: what is 'node2'?"),
    ],
)
def test_wrong_usage_is_told_before_anything_is_asked(stage: Stage, arguments: tuple[str, ...], said: str) -> None:
    code, errors = stage.run(*arguments)
    assert code == 64
    assert said in errors
    assert "Usage: drain.sh" in errors
    assert stage.asked == []


MOVED = [
    "kubectl cordon k8s-node1",
    "kubectl -n mailserver rollout restart deployment/mailserver",
    "kubectl -n mailserver rollout status --timeout=15m deployment/mailserver",
]
WATCHES_THE_PATCH = 'while ! grep -q "mailserver patch" "$STAGE/asked"; do sleep 0.02; done\nexit 2\n'
UNTIL_MOVED = BASELINE + 'while ! grep -q "rollout status" "$STAGE/asked"; do sleep 0.02; done\n'


@pytest.mark.parametrize(
    ("watch", "cordoned", "rolls", "calls", "told", "words"),
    [
        ("echo 'no file' >&2; exit 64\n", "", ":\n", [], 64, "no file\nnothing was touched\n"),
        (
            UNTIL_MOVED + "exit 2\n",
            "",
            ":\n",
            MOVED,
            2,
            "a rollout that had begun may go on, and k8s-node1",
        ),
        (UNTIL_MOVED, "", ":\n", [*MOVED, "kubectl uncordon k8s-node1"], 0, ""),
        (UNTIL_MOVED, "true", ":\n", MOVED, 0, ""),
        (UNTIL_MOVED, "", "exit 1\n", MOVED, 1, "the rollout failed, see above; k8s-node1 stays cordoned if it was\n"),
    ],
    ids=["refused", "ended badly", "ended well", "cordoned before", "failed"],
)
def test_a_pod_is_moved_by_the_recipe_only_while_it_is_watched(
    stage: Stage, watch: str, cordoned: str, rolls: str, *, calls: list[str], told: int, words: str
) -> None:
    stage.plays(watch_1=watch)
    (stage.directory / "kubectl-get-1").write_text(f"echo {cordoned}\n", encoding="utf-8")
    (stage.directory / "kubectl--n-2").write_text(rolls, encoding="utf-8")
    block = recipe("drains.md", "rollout restart")
    with stage.type(block) as done:
        _, said = done.communicate(timeout=PATIENCE)
    assert (stage.asked[2:], done.returncode) == (calls, told), said
    assert (words in said, "No such process" in said) == (True, False), said


@pytest.mark.parametrize(
    ("watch", "patch", "told", "last"),
    [
        (WATCHES_ON, "exit 1\n", 2, "begin\n"),
        (WATCHES_ON.replace("exit 2", "exit 0"), "exit 1\n", 2, ""),
        ("echo 'no file' >&2; exit 64\n", ":\n", 64, "no file\n"),
        (BASELINE + WATCHES_THE_PATCH, ":\n", 2, "the policy that was flipped stays so\n"),
    ],
    ids=["refused", "refused where nothing was masked", "not watched", "flipped, and ended badly"],
)
def test_a_policy_is_flipped_only_while_it_is_watched(
    stage: Stage, watch: str, patch: str, told: int, last: str
) -> None:
    stage.plays(watch_1=watch)
    (stage.directory / "kubectl--n-1").write_text(patch, encoding="utf-8")  # its first call that begins with -n
    block = recipe("drains.md", "kubectl -n mailserver patch")
    with stage.type(block) as done:
        _, said = done.communicate(timeout=PATIENCE)
    assert (done.returncode, stage.has("reported")) == (told, patch != ":\n"), said
    assert (said.endswith(last), "No such process" in said) == (True, False), said


def test_a_policy_is_not_flipped_where_more_is_wrong_than_masked_clients(stage: Stage) -> None:
    verdicts = ('      "verdict": "masked",', '      "verdict": "silent_drop",')
    stage.plays(once_1="".join(f"echo '{line}'\n" for line in verdicts) + "exit 2\n")
    with stage.type(recipe("drains.md", "kubectl -n mailserver patch")) as done:
        _, said = done.communicate(timeout=PATIENCE)
    assert (done.returncode, len(stage.asked), said[:11]) == (2, 1, "not flipped"), said


def test_a_watch_that_was_lost_after_the_drain_left_no_report(stage: Stage) -> None:
    stage.plays(watch_1=STABLE + "kill -s KILL $$\n", drain_1=OVER)
    code, errors = stage.run("--stable", "1", "node1")
    assert (code, "what was watched is in no report, for the watch was lost" in errors) == (137, True)


def test_without_a_temporary_directory_nothing_is_touched(stage: Stage) -> None:
    write_program(stage.directory / "mktemp", "#!/bin/sh\nexit 1\n")
    code, errors = stage.run("node1")
    assert (code, stage.asked) == (64, [])
    assert "no room for a temporary directory" in errors


CROWDED = """#!/bin/sh
mkdir "$STAGE/tmp"
export TMPDIR="$STAGE/tmp"
exec unshare -m sh -c 'mount -t tmpfs -o size=256k none "$TMPDIR" && . "$STAGE/before" && exec sh "$@"' sh "$@"
"""
FILL = 'head -c 1M /dev/zero >>"$STAGE/tmp/fill" 2>/dev/null || true\n'
FILL_UP = f'until {FILL}sleep 0.05; [ "$(stat -f -c %f "$STAGE/tmp")" = 0 ]; do :; done\n'
"""Not a block is free once the script has let go of the one that it tries."""


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="needs a mount of its own")
def test_where_nothing_can_be_told_any_more_it_ends_with_a_word_and_touches_nothing_more(tmp_path: Path) -> None:
    """A baseline that does not arrive begins no drain, and was waited for for ever."""
    once_it_hangs = 'while [ ! -e "$STAGE/hangs" ]; do sleep 0.02; done\n'

    def play(stage: Stage, plays: dict[str, str], code: int, *said: str) -> None:
        write_program(stage.directory / "crowded", CROWDED)
        (stage.directory / "before").write_text(plays.get("before", ""), encoding="utf-8")
        stage.plays(**{"drain_1": HANGS, **{call: how for call, how in plays.items() if call != "before"}})
        told = replace(stage, shell="crowded").run("node1")
        assert (told[0], [one for one in said if one not in told[1]]) == (code, []), told
        assert "printf" not in told[1]
        assert not stage.has("hangs") or not stage.still_drains()

    for_good = f'{FILL}while [ -e "$STAGE/tmp/"*/spare ]; do sleep 0.02; done\n{FILL_UP}'
    silent = WATCHES_ON.removeprefix(BASELINE)  # what a full disk keeps of a page that it has may still be told
    lost = "there is no room left in"
    cases: list[tuple[object, ...]] = [
        ({"before": FILL}, 64, "drain.sh: no room in"),
        ({"watch_1": for_good + silent}, 3, lost, "nothing was touched"),
        ({"watch_1": BASELINE + once_it_hangs + for_good + silent}, 3, lost, ENDED),
        ({"once_1": FILL, "watch_1": STABLE, "drain_1": OVER}, 0, "the baseline is there", "kubectl drain has ended"),
    ]
    play_at_once(tmp_path, play, cases)


@SHELLS
def test_without_a_standard_error_it_goes_on(stage: Stage, shell: str) -> None:
    stage.plays(watch_1=STABLE, drain_1=OVER)
    write_program(stage.directory / "deaf", f'#!/bin/sh\nexec {shell} "$@" 2>&-\n')
    assert replace(stage, shell="deaf").run("--stable", "1", "node1") == (0, "")
    assert stage.has("over")


def test_a_program_that_is_missing_is_told(stage: Stage) -> None:
    with subprocess.Popen(
        ["sh", str(SCRIPT), "node1"],
        env={"PATH": os.environ["PATH"], "PROBE": "/nowhere/probe"},
        stderr=subprocess.PIPE,
        text=True,
    ) as started:
        _, errors = started.communicate(timeout=PATIENCE)
    assert started.returncode == 64
    assert errors == "drain.sh: there is no program /nowhere/probe; say where it is: PROBE=/path/to/it drain.sh …\n"


def test_the_shell_and_shellcheck_have_nothing_to_say() -> None:
    assert subprocess.run(["sh", "-n", str(SCRIPT)], check=False).returncode == 0
    if shellcheck := shutil.which("shellcheck"):
        done = subprocess.run([shellcheck, str(SCRIPT)], capture_output=True, text=True, check=False)
        assert done.stdout == ""


def test_a_probe_that_is_called_wrongly_is_no_broken_mail_server(stage: Stage) -> None:
    stage.plays(once_1="echo 'no path vipp' >&2; exit 64\n")
    code, errors = stage.run("node1")
    assert code == 64
    assert "probe was called wrongly, see above (exit code 64): nothing was touched" in errors
    assert "not all is well" not in errors
