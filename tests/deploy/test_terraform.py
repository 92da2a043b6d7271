"""The Terraform snippet can be read, and what it gives to the chart the chart knows."""

from __future__ import annotations

import functools
import json
import re
from typing import Any

import hcl2
import pytest
import yaml

from tests.deploy.chart import CHART, REPOSITORY, render, values_of

pytestmark = pytest.mark.xdist_group("terraform")  # whoever has read the file has read it for all

FILE = REPOSITORY / "deploy/terraform/main.tf"


@functools.cache
def snippet() -> dict[str, Any]:
    """The file, read once: that takes a second."""
    with FILE.open(encoding="utf-8") as opened:
        return dict(hcl2.load(opened))


def bare(quoted: object) -> str:
    """A name or text as python-hcl2 gives it, without its quotes."""
    return str(quoted).strip('"')


def releases() -> dict[str, dict[str, Any]]:
    held = {}
    for block in snippet()["resource"]:
        for kind, named in block.items():
            if bare(kind) == "helm_release":
                held.update({bare(name): release for name, release in named.items()})
    return held


def test_both_releases_are_of_this_chart() -> None:
    found = releases()
    assert set(found) == {"account", "probe"}
    for release in found.values():
        relative = bare(release["chart"]).removeprefix("${path.module}/")
        assert (FILE.parent / relative).resolve() == CHART


def test_every_variable_that_is_used_is_declared() -> None:
    declared = {bare(name) for block in snippet()["variable"] for name in block}
    assert set(re.findall(r"\bvar\.(\w+)", FILE.read_text(encoding="utf-8"))) == declared


def test_the_account_s_release_is_the_account_and_no_probe() -> None:
    (extra,) = (text for text in releases()["account"]["values"] if "yamlencode" in text)
    assert "accountOnly = true" in extra
    (unwatched,) = re.findall(r"for name in (\[.*?\]) :", FILE.read_text(encoding="utf-8"))
    values = values_of("outside") | {"accountOnly": True} | {name: {"enabled": False} for name in json.loads(unwatched)}
    kinds = {manifest["kind"] for manifest in render(values).manifests}
    assert kinds == {"ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"}


def test_the_first_apply_ends_before_the_secrets_are_there() -> None:
    """One of them is made of what it makes."""
    assert releases()["probe"]["wait"] is False
    assert "wait" not in releases()["account"]


def test_the_probe_s_release_sets_values_that_there_are() -> None:
    (extra,) = (text for text in releases()["probe"]["values"] if "yamlencode" in text)
    known = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    assert set(re.findall(r"(\w+) = ", extra)) <= set(known)
    assert set(re.findall(r"(\w+) = (?:string|optional)", FILE.read_text(encoding="utf-8"))) <= set(known["image"])
