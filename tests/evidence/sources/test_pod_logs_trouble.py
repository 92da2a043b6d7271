"""What goes wrong with a Kubernetes API: a clear sentence once, the source goes on, and no line is lost over it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from probe.evidence.sources.pod_log import MOST_EMPTY
from probe.evidence.sources.source import State
from tests.evidence.sources.pods import following, source_of
from tests.evidence.sources.reading import consuming
from tests.kubernetes import rbac
from tests.kubernetes.api import Answer, serving
from tests.kubernetes.cluster import Cluster

LOGS = "pods/log"


def said(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The warnings so far."""
    return [line for line in capsys.readouterr().err.splitlines() if "[warning" in line]


@pytest.mark.parametrize(
    ("verb", "resource"),
    [("list", "pods"), ("watch", "pods"), ("get", LOGS)],
)
async def test_a_missing_rule_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], verb: str, resource: str
) -> None:
    cluster = Cluster()
    cluster.log(cluster.add("mailserver-0"), "known")
    cluster.log(cluster.add("mailserver-1"), "known")
    denied = {rule for rule in rbac.documented() if (rule.verb, rule.resource) == (verb, resource)}
    assert len(denied) == 1
    rules = rbac.documented() - denied
    async with serving(cluster, rules=rules) as api, consuming(source_of(api, tmp_path)) as reading:
        await reading.until(lambda: len(api.asked) > 12)
        warnings = said(capsys)
        assert len(warnings) == 1, warnings
        assert f"{rbac.USER} may not {verb} {resource} in namespace mailserver (403)" in warnings[0]
        assert "docs/kubernetes.md" in warnings[0]
        if verb == "watch":
            cluster.log(cluster.add("mailserver-2"), "found by listing")
            await reading.until(lambda: reading.lines == [b"found by listing\n"])
        else:
            assert reading.state() is State.FAILED
            assert f"may not {verb} {resource}" in reading.source.health.reason
            api.rules |= denied
            await reading.until(lambda: reading.state() is State.FOLLOWING)


def test_no_rule_of_the_docs_is_for_nothing() -> None:
    """What the source asks for is all that its Role allows; the tests above show that it needs each."""
    needed = {(rule.verb, rule.resource) for rule in rbac.documented() if rule.resource.startswith("pods")}
    assert needed == {("list", "pods"), ("watch", "pods"), ("get", LOGS)}


async def test_a_pod_without_the_container_names_those_it_has(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster = Cluster()
    cluster.add("mailserver-0", "mailserver", "metrics")
    async with following(cluster, tmp_path, container="postfix") as scene:
        await scene.reading.until(lambda: sum("watch=true" in one for one in scene.api.asked) > 1)
        assert scene.source.health.state is State.FAILED
        assert "has no container postfix; it has mailserver, metrics" in scene.source.health.reason
        cluster.log(cluster.add("mailserver-1", "postfix"), "right", container="postfix")
        await scene.receives("right")
    assert len([line for line in said(capsys) if "no container" in line]) == 1


async def test_an_expired_token_is_told_and_a_renewed_one_taken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster = Cluster()
    pod = cluster.add()
    cluster.log(pod, "known")
    async with following(cluster, tmp_path) as scene:
        cluster.log(pod, "a")
        await scene.reading.until(lambda: scene.texts == ["a"])
        scene.api.token = "tok-2"
        scene.api.break_off()
        cluster.log(pod, "b")
        await scene.reading.until(lambda: "401" in scene.source.health.reason)
        assert "renew the token" in scene.source.health.reason
        scene.api.kubeconfig(tmp_path)
        await scene.receives("a", "b")
        assert scene.source.health.state is State.FOLLOWING
    assert len(said(capsys)) == 1


async def test_an_api_that_is_gone_is_told_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cluster = Cluster()
    pods = [cluster.add(f"mailserver-{number}") for number in range(3)]
    for pod in pods:
        cluster.log(pod, "known")
    async with following(cluster, tmp_path) as scene:
        await scene.reading.until(lambda: scene.source.health.state is State.FOLLOWING)
        await scene.api.stop()
        await scene.reading.until(lambda: "connection failed" in scene.source.health.reason)
        for pod in pods:
            cluster.log(pod, pod.name)
        await scene.reading.settled()
        assert len(said(capsys)) == 1
        await scene.api.start()
        await scene.receives(*(pod.name for pod in pods))
        assert scene.source.health.gaps == 0


@pytest.mark.parametrize("early", [False, True])
async def test_a_watch_that_is_too_old_lists_anew(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], *, early: bool
) -> None:
    """410 Gone comes as an answer or as an event."""
    cluster = Cluster()
    async with following(cluster, tmp_path) as scene:
        if early:
            scene.api.replace["watch=true"] = Answer(status=410, body=b"{}")
        else:
            cluster.compacted = cluster.version + 1
        scene.api.end_streams()
        await scene.reading.until(lambda: sum("watch=true" in one for one in scene.api.asked) > 2)
        cluster.log(cluster.add(), "a")
        await scene.reading.until(lambda: scene.texts == ["a"])
    assert len(said(capsys)) == 1  # that no pod matches, before


async def test_a_trouble_that_comes_and_goes_is_told_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And so is one that reads differently each time: it carries the number of a request."""
    cluster = Cluster()
    pods = [cluster.add(f"mailserver-{number}") for number in range(2)]
    async with following(cluster, tmp_path) as scene:
        for turn in range(4):
            refusal = json.dumps({"message": f"request {turn:08x} failed"}).encode()
            scene.api.replace["/log"] = Answer(status=500, body=refusal)
            scene.api.break_off()
            await scene.reading.until(lambda: scene.source.health.state is State.FAILED)
            assert "request 0000000" in scene.source.health.reason
            for pod in pods:
                cluster.log(pod, f"{pod.name} {turn}")
            scene.api.replace.clear()
            await scene.reading.until(lambda turn=turn: len(scene.texts) == 2 * (turn + 1))  # type: ignore[misc]
            assert scene.source.health.state is State.FOLLOWING
    assert len(said(capsys)) == 1


@pytest.mark.parametrize(
    "answer", [Answer(headers={"Content-Length": "1000"}, cut=True), Answer()], ids=["broken off", "empty"]
)
async def test_streams_that_are_cut_before_their_first_byte_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], answer: Answer
) -> None:
    cluster = Cluster()
    pod = cluster.add()
    cluster.log(pod, "known")
    async with serving(cluster) as api:
        api.replace["follow=true"] = answer
        async with consuming(source_of(api, tmp_path)) as reading:
            await reading.until(lambda: sum("follow=true" in one for one in api.asked) > MOST_EMPTY)
            cluster.log(pod, "meanwhile")
            assert reading.state() is State.FAILED
            assert "ends before a line of it comes" in reading.source.health.reason
            asked = len(api.asked)
            await reading.until(lambda: len(api.asked) > asked + 3)
            assert len(said(capsys)) == 1
            api.replace.clear()
            await reading.until(lambda: reading.lines == [b"meanwhile\n"])
            assert reading.state() is State.FOLLOWING


async def test_a_container_that_ended_without_a_word_is_no_trouble(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster = Cluster()
    async with following(cluster, tmp_path) as scene:
        pod = cluster.add()
        cluster.crash(pod)
        cluster.publish(pod)
        logs = "follow=true"
        await scene.reading.until(lambda: sum(logs in one for one in scene.api.asked) > MOST_EMPTY)
        assert scene.source.health.state is not State.FAILED
        cluster.run(pod)
        cluster.log(pod, "a")
        await scene.receives("a")
    assert len(said(capsys)) == 1  # that no pod matches, before


async def test_a_selector_that_matches_nothing_is_told_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with following(Cluster(), tmp_path, selector="app=mial") as scene:
        await scene.reading.until(lambda: sum("watch=true" in one for one in scene.api.asked) > 1)
        assert scene.source.health.state is State.WAITING
        assert "no pod in namespace mailserver matches app=mial" in scene.source.health.reason
    assert len(said(capsys)) == 1


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (Answer(body=b"<html>sign in</html>"), "no JSON object"),
        (Answer(body=b'{"items": ['), "no JSON object"),
        (Answer(body=b"[" * 100_000), "no JSON object"),
        (Answer(body=b'{"kind": "Status"}'), "no list of pods"),
        (Answer(body=b" " * (33 << 20)), "longer than 32 MiB"),
        (Answer(status=302, headers={"Location": "http://127.0.0.1:1/"}), "302"),
        (Answer(status=500, body=b"<html>" + b"x" * 100_000), "500"),
        (Answer(status=503, body=b'{"message": "etcdserver: leader changed"}'), "503 (etcdserver: leader changed)"),
    ],
)
async def test_answers_that_are_no_list_of_pods(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], answer: Answer, sentence: str
) -> None:
    cluster = Cluster()
    pod = cluster.add()
    cluster.log(pod, "known")
    async with serving(cluster) as api:
        api.replace["/pods"] = answer
        async with consuming(source_of(api, tmp_path)) as reading:
            assert reading.state() is State.FAILED
            await reading.until(lambda: len(api.asked) > 3)
            warnings = said(capsys)
            assert len(warnings) == 1
            assert sentence in warnings[0]
            cluster.log(pod, "since")
            api.replace.clear()
            await reading.until(lambda: b"since\n" in reading.lines)


async def test_objects_that_are_no_pods_are_passed_over(tmp_path: Path) -> None:
    cluster = Cluster()
    pod = cluster.add()
    items = [None, 1, {}, {"metadata": 1}, {"metadata": {"name": 1, "uid": "x"}}, pod.said(1) | {"status": []}]
    async with serving(cluster) as api:
        listed = {"metadata": {"resourceVersion": "1"}, "items": items}
        api.replace["/pods[?]"] = Answer(body=json.dumps(listed).encode())
        async with consuming(source_of(api, tmp_path)) as reading:
            await reading.until(lambda: len(api.asked) > 3)
            assert reading.source.health.reason == "waiting for the first line of mailserver-0"


async def test_a_page_or_a_kubelets_word_is_no_log_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cluster = Cluster()
    pod = cluster.add()
    cluster.log(pod, "known")
    async with following(cluster, tmp_path) as scene:
        scene.api.replace["/log"] = Answer(body=b"unable to retrieve container logs for containerd://1\n\n<html>\n")
        scene.api.break_off()
        await scene.reading.until(lambda: "instead of its log" in scene.source.health.reason)
        assert "unable to retrieve container logs" in scene.source.health.reason
        asked = len(scene.api.asked)
        await scene.reading.until(lambda: len(scene.api.asked) > asked + 5)
        assert scene.texts == []
        cluster.log(pod, "a")
        scene.api.replace.clear()
        await scene.receives("a")
    assert len(said(capsys)) == 1


async def test_a_busy_api_is_left_alone_for_as_long_as_it_asks(tmp_path: Path) -> None:
    cluster = Cluster()
    pod = cluster.add()
    cluster.log(pod, "known")
    async with serving(cluster) as api:
        api.replace["/pods"] = Answer(status=429, headers={"Retry-After": "2"}, body=b"{}")
        async with consuming(source_of(api, tmp_path)) as reading:
            asked = len(api.asked)
            await reading.settled()
            assert len(api.asked) == asked
            assert "429" in reading.source.health.reason
            cluster.log(pod, "since")
            api.replace.clear()
            await reading.until(lambda: b"since\n" in reading.lines)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "not found"),
        ("", "cannot be used"),
        ("clusters: [{name: a}]", "cannot be used"),
        ("{", "cannot be used"),
        ("clusters: []\ncontexts: []\ncurrent-context: x", "Context 'x' not found"),
    ],
)
async def test_a_kubeconfig_that_is_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str | None, sentence: str
) -> None:
    file = tmp_path / "kubeconfig"
    if content is not None:
        file.write_text(content)
    async with serving(Cluster()) as api, consuming(source_of(api, tmp_path, kubeconfig=file)) as reading:
        await reading.settled()
        assert reading.state() is State.FAILED
        warnings = said(capsys)
        assert len(warnings) == 1
        assert str(file) in warnings[0]
        assert sentence in warnings[0]


SECRET = "s3cr3t-s3cr3t"
SLIPS = {
    "a colon": (f"{SECRET}: x", "no YAML at line 9, column"),
    "a quote": (f'"{SECRET}', "no YAML at line"),
    "a bracket": (f"[{SECRET}", "no YAML at line"),
    "an at sign": (f"@{SECRET}", "no YAML at line 9, column 12"),
    "a tag": (f"!{SECRET} x", "no YAML at line 9, column 12"),
    "an alias": (f"*{SECRET}", "no YAML at line 9, column 12"),
    "a list": (f"[{SECRET}]", "got `array` - at `$.token`"),
    "a newline": (f"|\n      {SECRET}", "the token holds a character that no header may have"),
    "a space": (f'"{SECRET} "', "the token holds a character that no header may have"),
    "a NUL": (f'"{SECRET}\\0"', "the token holds a character that no header may have"),
    "a file of that name": (f"null\n    tokenFile: {SECRET}", "the file that its tokenFile names is not there"),
}
CARELESS = """apiVersion: v1
kind: Config
current-context: c
contexts: [{name: c, context: {cluster: c, user: u}}]
clusters: [{name: c, cluster: {server: "https://127.0.0.1:PORT", insecure-skip-tls-verify: true}}]
users:
- name: u
  user:
    token: SLIP
"""


@pytest.mark.parametrize("slip", SLIPS)
async def test_a_slip_in_a_kubeconfig_is_told_without_the_token(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], slip: str
) -> None:
    token, sentence = SLIPS[slip]
    async with serving(Cluster()) as api:
        file = tmp_path / "kubeconfig"
        file.write_text(CARELESS.replace("PORT", str(api.port)).replace("SLIP", token))
        async with consuming(source_of(api, tmp_path, kubeconfig=file)) as reading:
            await reading.settled()
            reason = reading.source.health.reason
    warnings = said(capsys)
    assert sentence in reason
    assert len(warnings) == 1
    assert SECRET not in reason + warnings[0]


@pytest.mark.parametrize(
    ("target", "answer"),
    [
        ("/pods[?]", Answer(status=500, body=b'{"message": "denied: Authorization: Bearer %t; %t"}')),
        ("watch=true", Answer(status=500, body=b'{"message": "Basic realm, asked with %t"}')),
        ("/log", Answer(body=b"GET /log Authorization: Bearer %t\n")),
    ],
)
async def test_a_token_that_comes_back_is_not_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], target: str, answer: Answer
) -> None:
    cluster = Cluster()
    cluster.add()
    async with serving(cluster) as api:
        api.token = SECRET
        api.replace[target] = Answer(status=answer.status, body=answer.body.replace(b"%t", SECRET.encode()))
        async with consuming(source_of(api, tmp_path)) as reading:
            await reading.until(lambda: sum(bool(re.search(target, one)) for one in api.asked) > 2)
            warnings = said(capsys)
            assert "****" in warnings[-1]
            assert SECRET not in "".join(warnings) + reading.source.health.reason


async def test_a_stranger_s_certificate_is_not_trusted(tmp_path: Path) -> None:
    async with serving(Cluster()) as api, serving(Cluster()) as other:
        other.port, port = api.port, other.port
        kubeconfig = other.kubeconfig(tmp_path)
        other.port = port
        async with consuming(source_of(api, tmp_path, kubeconfig=kubeconfig)) as reading:
            await reading.until(lambda: "certificate is not trusted" in reading.source.health.reason)
            assert "certificate-authority" in reading.source.health.reason


def test_without_the_client_library_the_sentence_says_how_to_install_it() -> None:
    """In another process, where lightkube cannot be imported."""
    program = (
        "import asyncio, sys; sys.modules['lightkube'] = None\n"
        "from probe.evidence.sources.kubernetes import KubernetesSource, Selection\n"
        "from probe.kubernetes.ask import Access\n"
        "async def main():\n"
        "    source = KubernetesSource(Selection(namespace='a', selector='b'), Access(), clock=lambda: 0.0)\n"
        "    await source.start(); print(source.health.state, source.health.reason); await source.close()\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout.startswith("failed the Kubernetes client is not installed: pip install '.[kubernetes]'")


def test_nothing_of_it_is_imported_until_it_is_opened() -> None:
    program = "import sys, probe.service.sources, probe.cli; print('lightkube' in sys.modules, 'httpx2' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout == "False False\n"
