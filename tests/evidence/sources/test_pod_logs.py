"""The source `kubernetes` against a cluster's API: which lines it brings, each once."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from probe.evidence.sources.kubernetes import MOST_PODS
from probe.evidence.sources.source import MAX_LINE, State
from tests.evidence.sources.pods import BRIEF, Scene, following, source_of
from tests.evidence.sources.reading import consuming
from tests.kubernetes.api import Answer
from tests.kubernetes.cluster import Cluster, Pod


async def test_lines_from_the_start_on_arrive_with_the_servers_stamps(tmp_path: Path) -> None:
    cluster = Cluster(skew=-3600.0)
    pod = cluster.add()
    cluster.log(pod, "before", "before too")
    async with following(cluster, tmp_path) as scene:
        cluster.log(pod, "after", at=4_000_000_000_123_456_789)
        await scene.receives("after")
        (lines,) = scene.reading.arrived
        (stamp,) = lines.stamps
        assert stamp is not None
        assert stamp.seconds == pytest.approx(4_000_000_000.123456, abs=1e-6)
        assert abs(lines.arrival - time.time()) < 10
        assert scene.source.name == "kubernetes:mailserver/app=mailserver"
        assert (scene.source.health.state, scene.source.health.lines) == (State.FOLLOWING, 1)


async def test_all_pods_of_the_selector_and_no_other(tmp_path: Path) -> None:
    cluster = Cluster()
    pods = [cluster.add(f"mailserver-{number}") for number in range(3)]
    other = cluster.add("webmail-0", labels={"app": "webmail"})
    async with following(cluster, tmp_path) as scene:
        for number, pod in enumerate(pods):
            cluster.log(pod, f"line {number}")
        cluster.log(other, "a stranger's")
        await scene.receives("line 0", "line 1", "line 2")


async def test_the_container_that_is_named_or_annotated_or_first(tmp_path: Path) -> None:
    cluster = Cluster()
    pod = cluster.add("mailserver-0", "proxy", "mailserver")
    async with following(cluster, tmp_path, container="mailserver") as scene:
        cluster.log(pod, "the proxy's", container="proxy")
        cluster.log(pod, "the mail server's")
        await scene.receives("the mail server's")
    async with following(cluster, tmp_path) as scene:
        cluster.log(pod, "first", container="proxy")
        await scene.receives("first")
    pod.annotations["kubectl.kubernetes.io/default-container"] = "mailserver"
    async with following(cluster, tmp_path) as scene:
        cluster.log(pod, "annotated")
        await scene.receives("annotated")


async def test_a_new_pod_is_read_from_its_first_line(tmp_path: Path) -> None:
    cluster = Cluster(skew=-100.0)
    async with following(cluster, tmp_path) as scene:
        assert scene.source.health.state is State.WAITING
        pod = cluster.add("mailserver-1", ran=False, phase="Pending")
        await scene.reading.until(lambda: "mailserver-1" in scene.source.health.reason)
        pod.runs["mailserver"] = (later := cluster.add("mailserver-1x", labels={})).runs["mailserver"]
        cluster.log(later, "first")
        cluster.publish(pod)
        cluster.log(pod, "second")
        await scene.receives("first", "second")
        assert scene.source.health.gaps == 0


async def test_a_pod_replaced_under_the_same_name(tmp_path: Path) -> None:
    """A StatefulSet's pod: the old one's last lines and the new one's first, none twice."""
    cluster = Cluster()
    old = cluster.add()
    cluster.log(old, "known")
    async with following(cluster, tmp_path) as scene:
        cluster.log(old, "old 1")
        await scene.reading.until(lambda: len(scene.texts) == 1)
        cluster.log(old, "old 2")
        cluster.delete(old)
        new = cluster.add()
        cluster.log(new, "new 1", "new 2")
        await scene.receives("old 1", "old 2", "new 1", "new 2")
        assert scene.source.health.gaps == 0


async def test_a_list_that_arrives_late_ends_no_pod_that_is_newer(tmp_path: Path) -> None:
    cluster = Cluster()
    pod = cluster.add()
    cluster.log(pod, "known")
    async with following(cluster, tmp_path) as scene:
        scene.api.held = late = asyncio.Event()
        cluster.crash(pod)
        cluster.run(pod, publish=False)
        cluster.log(pod, "run 1")
        await scene.reading.until(lambda: scene.api.held is None)
        newer = cluster.add("mailserver-1")
        cluster.log(newer, "newer: a")
        await scene.reading.until(lambda: scene.texts == ["newer: a"])
        late.set()
        cluster.publish(pod)
        await scene.reading.until(lambda: len(scene.texts) == 2)
        for _ in range(2):
            await scene.watches_anew()
        cluster.log(newer, "newer: b")
        await scene.receives("run 1", "newer: a", "newer: b")


async def test_a_list_without_pods_that_arrives_late_says_nothing_of_a_newer_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster = Cluster()
    pod = cluster.add()
    cluster.log(pod, "known")
    async with following(cluster, tmp_path) as scene:
        scene.api.held = late = asyncio.Event()
        cluster.delete(pod)
        await scene.reading.until(lambda: scene.api.held is None)
        cluster.add("mailserver-1")
        await scene.reading.until(lambda: sum("follow=true" in one for one in scene.api.asked) > 1)
        late.set()
        await scene.watches_anew()
        assert scene.source.health.reason == "waiting for the first line of mailserver-1"
    assert "check the selector" not in capsys.readouterr().err


@pytest.mark.parametrize("turns", range(3))
async def test_a_pod_that_goes_in_the_moment_in_which_its_log_is_quiet_for_too_long(tmp_path: Path, turns: int) -> None:
    cluster = Cluster()
    cluster.log(cluster.add("mailserver-1"), "known")
    async with following(cluster, tmp_path, patience=replace(BRIEF, quiet=0.2)) as scene:
        pod = cluster.add("mailserver-2")
        cluster.log(pod, "first")
        await scene.reading.until(lambda: scene.texts == ["first"])
        cluster.delete(pod)
        for _ in range(turns):
            await asyncio.sleep(0)
        time.sleep(0.21)  # noqa: ASYNC251 - the loop is busy meanwhile
        cluster.log(cluster.add("mailserver-3"), "second")
        await scene.receives("first", "second")


@pytest.mark.parametrize("late", [False, True])
async def test_a_restarted_container(tmp_path: Path, *, late: bool) -> None:
    """The end of the run before comes from its kept log, also if the status tells of the restart only later."""
    cluster = Cluster()
    pod = cluster.add()
    cluster.log(pod, "known")
    async with following(cluster, tmp_path) as scene:
        cluster.log(pod, "run 0: a")
        await scene.reading.until(lambda: len(scene.texts) == 1)
        scene.api.break_off()
        cluster.log(pod, "run 0: b")
        cluster.crash(pod)
        cluster.run(pod, publish=not late)
        cluster.log(pod, "run 1: a")
        if late:
            await scene.reading.until(lambda: any("follow" in one for one in scene.api.asked[-2:]))
            cluster.publish(pod)
        cluster.log(pod, "run 1: b")
        await scene.receives("run 0: a", "run 0: b", "run 1: a", "run 1: b")
        assert scene.source.health.gaps == 0


async def restarted_twice(cluster: Cluster, pod: Pod) -> None:
    for number in (1, 2):
        cluster.crash(pod)
        cluster.run(pod)
        cluster.log(pod, f"run {number}")


async def restarted_after_a_rotation(cluster: Cluster, pod: Pod) -> None:
    cluster.rotate(pod)
    cluster.log(pod, "run 0, after the rotation")
    cluster.crash(pod)
    cluster.run(pod)
    cluster.log(pod, "run 1")


@pytest.mark.parametrize(
    ("happens", "lines"),
    [(restarted_twice, ["run 1", "run 2"]), (restarted_after_a_rotation, ["run 0, after the rotation", "run 1"])],
)
async def test_a_restart_before_which_the_log_was_not_read_to_its_end_is_a_gap(
    tmp_path: Path, happens: Callable[[Cluster, Pod], Awaitable[None]], lines: list[str]
) -> None:
    cluster = Cluster()
    pod = cluster.add()
    cluster.log(pod, "known")
    async with following(cluster, tmp_path) as scene:
        cluster.log(pod, "a")
        await scene.reading.until(lambda: len(scene.texts) == 1)
        await scene.api.stop()
        cluster.log(pod, "lost, or kept by chance")
        await happens(cluster, pod)
        await scene.api.start()
        await scene.reading.until(lambda: scene.texts[-1:] == lines[-1:])
        assert scene.texts == ["a", *lines]
        assert scene.source.health.gaps == 1


@pytest.mark.parametrize("times", [1, 2])
async def test_restarts_of_a_container_of_which_no_line_was_read(tmp_path: Path, times: int) -> None:
    """What it logged before the one run that is kept is gone."""
    cluster = Cluster()
    pod = cluster.add()
    async with following(cluster, tmp_path) as scene:
        await scene.api.stop()
        for number in range(times):
            cluster.crash(pod)
            cluster.run(pod)
            cluster.log(pod, f"run {number + 1}")
        await scene.api.start()
        await scene.receives(*(f"run {number + 1}" for number in range(times)))
        assert scene.source.health.gaps == times - 1


@pytest.mark.parametrize("known", [[], ["a"]])
async def test_a_restart_whose_log_is_gone_is_a_gap(tmp_path: Path, known: list[str]) -> None:
    cluster = Cluster()
    pod = cluster.add()
    async with following(cluster, tmp_path) as scene:
        cluster.log(pod, *known)
        await scene.reading.until(lambda: scene.texts == known)
        scene.api.replace["previous=true"] = Answer(status=400, body=b"{}")
        scene.api.break_off()
        cluster.crash(pod)
        cluster.run(pod)
        cluster.log(pod, "b")
        await scene.reading.until(lambda: scene.texts == [*known, "b"])
        assert scene.source.health.gaps == 1


async def test_of_too_many_pods_the_last_is_read_when_there_is_room(tmp_path: Path) -> None:
    cluster = Cluster()
    pods = [cluster.add(f"mailserver-{number}") for number in range(MOST_PODS + 1)]
    with capture_logs() as said:
        async with following(cluster, tmp_path, patience=replace(BRIEF, watch=60.0)) as scene:
            for pod in pods:
                cluster.log(pod, pod.name)
            await scene.reading.until(lambda: len(scene.texts) == MOST_PODS)
            assert sorted(scene.texts) == sorted(pod.name for pod in pods[:-1])
            assert scene.source.health.gaps == 1
            cluster.delete(pods[7])
            await scene.reading.until(lambda: scene.texts[-1] == pods[-1].name, 20)
            cluster.log(pods[-1], "and on")
            await scene.reading.until(lambda: scene.texts[-1] == "and on")
            assert scene.source.health.gaps == 1
    assert [entry["reason"] for entry in said] == [f"more than 50 pods match, and {pods[-1].name} is not read yet"]


async def test_a_rotation_while_the_connection_was_lost_is_a_gap(tmp_path: Path) -> None:
    cluster = Cluster()
    pod = cluster.add()
    cluster.log(pod, "known")
    async with following(cluster, tmp_path) as scene:
        cluster.log(pod, "a")
        await scene.reading.until(lambda: len(scene.texts) == 1)
        await scene.api.stop()
        cluster.log(pod, "lost")
        cluster.rotate(pod)
        cluster.log(pod, "b")
        await scene.api.start()
        await scene.reading.until(lambda: len(scene.texts) == 2)
        assert scene.texts == ["a", "b"]
        assert scene.source.health.gaps == 1


async def test_a_rotation_while_following_is_none(tmp_path: Path) -> None:
    cluster = Cluster()
    pod = cluster.add()
    cluster.log(pod, "known")
    async with following(cluster, tmp_path) as scene:
        cluster.log(pod, "a")
        await scene.reading.until(lambda: len(scene.texts) == 1)
        cluster.rotate(pod)
        cluster.log(pod, "b")
        await scene.receives("a", "b")
        assert scene.source.health.gaps == 0


async def test_equal_lines_and_equal_stamps_are_counted_not_merged(tmp_path: Path) -> None:
    cluster = Cluster()
    pod = cluster.add()
    at = time.time_ns()
    cluster.log(pod, "same", "same", at=at)
    async with following(cluster, tmp_path) as scene:
        cluster.log(pod, "same", "other", "same", at=at)
        await scene.reading.until(lambda: len(scene.texts) == 3)
        scene.api.end_streams()
        cluster.log(pod, "same", at=at)
        await scene.receives("same", "other", "same", "same")


async def test_a_line_with_an_older_stamp_than_the_last_is_not_lost(tmp_path: Path) -> None:
    """Two streams of one container are stamped side by side, and written in either order."""
    cluster = Cluster()
    pod = cluster.add()
    at = 1_800_000_000 * 10**9
    cluster.log(pod, "known", at=at)
    async with following(cluster, tmp_path) as scene:
        cluster.log(pod, "a", at=at + 5)
        await scene.reading.until(lambda: len(scene.texts) == 1)
        scene.api.break_off()
        cluster.log(pod, "b", at=at - 10**6)
        await scene.receives("a", "b")


async def test_a_half_line_comes_again_whole(tmp_path: Path) -> None:
    cluster = Cluster()
    pod = cluster.add()
    cluster.log(pod, "known")
    async with following(cluster, tmp_path, seed=3) as scene:
        for number in range(30):
            cluster.log(pod, f"{number} " + "x" * 3000)
            await asyncio.sleep(0)
            scene.api.break_off()
        await scene.receives(*(f"{number} " + "x" * 3000 for number in range(30)))


async def test_separators_that_are_none_to_a_log_do_not_split_a_line(tmp_path: Path) -> None:
    cluster = Cluster()
    pod = cluster.add()
    async with following(cluster, tmp_path) as scene:
        cluster.log(pod, "helo=<a\u2028b\x0b\x0c\x85c>\r", b"\xff\xfe\x00", "")
        await scene.reading.until(lambda: scene.reading.text.count(b"\n") == 3)
        assert scene.reading.text == "helo=<a\u2028b\x0b\x0c\x85c>\r\n".encode() + b"\xff\xfe\x00\n\n"


async def test_an_endless_line_is_left_out_and_counted(tmp_path: Path) -> None:
    cluster = Cluster()
    pod = cluster.add()
    async with following(cluster, tmp_path) as scene:
        cluster.log(pod, "x" * (3 * MAX_LINE), "after")
        await scene.receives("after")
        assert scene.source.health.cut == 1


async def test_a_silent_stream_is_opened_anew(tmp_path: Path) -> None:
    cluster = Cluster()
    cluster.log(cluster.add(), "known")
    async with following(cluster, tmp_path) as scene:
        await scene.reading.until(lambda: sum("follow=true" in one for one in scene.api.asked) > 1)
        assert scene.source.health.state is State.FOLLOWING


async def test_an_api_that_is_down_at_the_start_loses_nothing(tmp_path: Path) -> None:
    cluster = Cluster()
    pod = cluster.add()
    pod.created -= 1000
    cluster.log(pod, "long before", at=time.time_ns() - 100 * 10**9)
    async with following(cluster, tmp_path) as scene:
        kubeconfig = scene.api.kubeconfig(tmp_path)
        await scene.api.stop()
        async with consuming(source_of(scene.api, tmp_path, kubeconfig=kubeconfig)) as reading:
            assert reading.state() is State.FAILED
            cluster.log(pod, "since")
            await scene.api.start()
            await reading.until(lambda: reading.lines == [b"since\n"])


async def test_a_slow_consumer_holds_the_readers_back_and_loses_nothing(tmp_path: Path) -> None:
    cluster = Cluster()
    pod = cluster.add()
    async with following(cluster, tmp_path) as scene:
        expected = [f"{number} {'x' * 2000}" for number in range(5000)]
        cluster.log(pod, *expected)
        await scene.reading.until(lambda: len(scene.reading.lines) == 5000)
        assert scene.texts == expected


class Chaos:
    """What happens to two pods that never stop logging, at random."""

    def __init__(self, scene: Scene, chance: random.Random) -> None:
        self.scene = scene
        self.cluster = scene.cluster
        self.chance = chance
        self.written: list[str] = []

    def write(self) -> None:
        for _ in range(self.chance.randrange(1, 30)):
            self.written.append(f"{len(self.written)} {'x' * self.chance.choice((0, 9, 200, 2000))}")
            self.cluster.log(self.any_pod(), self.written[-1])

    def any_pod(self) -> Pod:
        return self.chance.choice(list(self.cluster.pods.values()))

    async def all_read(self) -> None:
        await self.scene.reading.until(lambda: len(self.scene.texts) >= len(self.written))

    async def break_streams(self) -> None:
        self.scene.api.break_off()

    async def end_streams(self) -> None:
        self.scene.api.end_streams()

    async def stop_the_api(self) -> None:
        await self.scene.api.stop()
        self.write()
        await asyncio.sleep(self.chance.choice((0.01, 0.2)))
        await self.scene.api.start()

    async def restart_a_container(self) -> None:
        """At once, as the kubelet does it the first time; it waits ten seconds before it does it again."""
        pod = self.any_pod()
        self.cluster.crash(pod)
        self.cluster.run(pod, publish=False)
        self.write()
        await asyncio.sleep(self.chance.choice((0, 0.05)))
        self.cluster.publish(pod)
        await self.all_read()

    async def replace_a_pod(self) -> None:
        """Under the same name. What it logged last is read before, for no API gives it afterwards."""
        await self.all_read()
        pod = self.any_pod()
        self.cluster.delete(pod)
        self.cluster.add(pod.name)


@pytest.mark.parametrize("attempt", range(int(os.environ.get("POD_LOG_SEEDS", "8"))))
async def test_nothing_is_lost_and_nothing_comes_twice(tmp_path: Path, attempt: int) -> None:
    """Steady writing by two pods while streams break, the API stops, containers crash and pods are replaced."""
    seed = random.SystemRandom().randrange(10**6)
    print("seed", seed)
    chance = random.Random(seed)
    cluster = Cluster(skew=chance.uniform(-500, 500))
    cluster.add("mailserver-0")
    cluster.add("mailserver-1")
    async with following(cluster, tmp_path, seed=seed) as scene:
        chaos = Chaos(scene, chance)
        often = [chaos.break_streams, chaos.end_streams]
        acts = [*often, *often, chaos.stop_the_api, chaos.restart_a_container, chaos.replace_a_pod]
        for _ in range(150):
            chaos.write()
            await asyncio.sleep(chance.choice((0, 0, 0.001, 0.01)))
            if chance.random() < 0.15:
                await chance.choice(acts)()
        await scene.receives(*chaos.written)


async def test_a_clean_close_leaves_no_task_and_no_connection(tmp_path: Path) -> None:
    cluster = Cluster()
    cluster.add()
    before = asyncio.all_tasks()
    async with following(cluster, tmp_path) as scene:
        await scene.source.close()
        await scene.source.close()
    assert asyncio.all_tasks() == before
