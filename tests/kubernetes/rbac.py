"""The access rules that docs/kubernetes.md tells people to apply: the tests run with exactly them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

PAGE = Path(__file__).parents[2] / "docs/kubernetes.md"
USER = "system:serviceaccount:mailprobe:mailprobe"


@dataclass(frozen=True)
class Rule:
    """One verb on one resource; in all namespaces where `namespace` is empty, on any object where `name` is."""

    verb: str
    group: str
    resource: str
    namespace: str
    name: str = ""

    def allows(self, asked: Rule) -> bool:
        """Whether this rule allows what is asked."""
        exact = (self.verb, self.group, self.resource) == (asked.verb, asked.group, asked.resource)
        return exact and self.namespace in ("", asked.namespace) and self.name in ("", asked.name)


def documented() -> set[Rule]:
    """Every rule of the page's Roles and ClusterRoles that is bound to the probe's account."""
    return granted(one for block in _blocks() for one in yaml.safe_load_all(block) if isinstance(one, dict))


def granted(manifests: Iterable[dict[str, Any]]) -> set[Rule]:
    """Every rule of Roles and ClusterRoles that is bound to somebody."""
    objects = [one for one in manifests if "kind" in one]
    bound = {(one["roleRef"]["kind"], one["roleRef"]["name"], _namespace(one)) for one in objects if "roleRef" in one}
    return {
        Rule(verb, group, resource, _namespace(one), name)
        for one in objects
        if (one["kind"], one["metadata"]["name"], _namespace(one)) in bound
        for rule in one["rules"]
        for verb in rule["verbs"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for name in rule.get("resourceNames", [""])
    }


def _blocks() -> list[str]:
    return re.findall(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def _namespace(one: dict[str, Any]) -> str:
    return str(one["metadata"].get("namespace", ""))
