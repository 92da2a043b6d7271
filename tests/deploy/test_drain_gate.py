"""The Job that gates a drain: sound, and the same pod as the chart's own test, with its configuration and Secrets."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tests.deploy.chart import KUBERNETES, OLDEST, REPOSITORY, check, rendered

FILE = REPOSITORY / "deploy/kubernetes/drain-gate.job.yaml"
WAITING, STARTING = 120, 30
"""Seconds of --wait, and room for one more round and the pod's start."""


def job() -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return read


def mounted(pod: dict[str, Any]) -> dict[str, Any]:
    """What lies where, whatever the volumes are called, and whether they have to be there."""
    held = {one["name"]: {key: value for key, value in one.items() if key != "name"} for one in pod["volumes"]}
    for one in held.values():
        one.get("secret", {}).pop("optional", None)
    (container,) = pod["containers"]
    return {mount["mountPath"]: held[mount["name"]] for mount in container["volumeMounts"]}


@pytest.mark.parametrize("version", [OLDEST, KUBERNETES])
def test_it_is_sound(version: str) -> None:
    check(job(), version)


def test_it_is_the_pod_of_the_chart_s_test() -> None:
    ours = job()["spec"]["template"]["spec"]
    (theirs,) = (one["spec"] for one in rendered("outside").of("Pod"))
    assert mounted(ours) == mounted(theirs)
    apart = {"containers", "volumes", "serviceAccountName"}
    assert {key: ours[key] for key in ours if key not in apart} == {k: theirs[k] for k in theirs if k not in apart}
    our, their = ours["containers"][0], theirs["containers"][0]
    apart = {"args", "volumeMounts", "imagePullPolicy"}
    assert {key: our[key] for key in our if key not in apart} == {k: their[k] for k in their if k not in apart}
    assert our["args"][:-1] == their["args"][:-1]


def test_a_chart_without_secrets_keeps_no_pod_from_starting() -> None:
    """Its default is none: a pod that waits for one would shut the gate without a word."""
    secrets = [one["secret"] for one in job()["spec"]["template"]["spec"]["volumes"] if "secret" in one]
    assert secrets
    assert all(one["optional"] for one in secrets)


def test_it_asks_once_and_has_the_time_for_it() -> None:
    spec = job()["spec"]
    assert spec["backoffLimit"] == 0
    assert spec["template"]["spec"]["containers"][0]["args"][-1] == str(WAITING)
    assert spec["activeDeadlineSeconds"] >= WAITING + STARTING
