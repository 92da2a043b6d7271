"""The chart as the real Helm engine renders it, and its manifests held against Kubernetes' and the operator's schemas.

- The library holds Helm's own Go code: nothing is contacted, and a rendering takes 20 ms.
- Manifests are read as the least kind reader of YAML would (Plain): a name that any takes for a number is found.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import kubernetes_validate
import pytest
import yaml

pytest.importorskip("helm_python", reason="Helm's engine (helm-python-sdk) comes without a library for this machine")
import helm_python

from tests.deploy.schemas import folder

REPOSITORY = Path(__file__).parents[2]
CHART = REPOSITORY / "deploy/helm/mailprobe"
VALUES = {path.stem: path for path in sorted((Path(__file__).parent / "values").glob("*.yaml"))}
"""The value sets by name; what each is for stands in its first line."""

NAMESPACE = "monitoring"
KUBERNETES = "1.36"
OLDEST = "1.25"
"""The version of the field notes, and the oldest that Chart.yaml allows."""

OPERATOR = "monitoring.coreos.com/v1"

Manifest = dict[str, Any]
Values = dict[str, Any]


class Plain(yaml.CSafeLoader):
    """Reads what Helm's reader would as it would: 1e3 is a number and n is false. Two keys of one name are a fault.

    So is a number with a fraction or an exponent: no manifest of ours has one, and the API takes none for an integer.
    """

    def mapping(self, node: yaml.MappingNode) -> Iterator[dict[Any, Any]]:
        """Build a mapping. Raises ConstructorError for a key that is there twice."""
        keys = [str(key.value) for key, _ in node.value]
        if twice := {key for key in keys if keys.count(key) > 1}:
            raise yaml.constructor.ConstructorError(None, None, f"twice in one mapping: {twice}", node.start_mark)
        return self.construct_yaml_map(node)

    def fraction(self, node: yaml.ScalarNode) -> float:
        """Raise ConstructorError."""
        raise yaml.constructor.ConstructorError(None, None, f"no integer: {node.value}", node.start_mark)

    def truth(self, node: yaml.ScalarNode) -> bool:
        """Read what any version of YAML takes for true or false."""
        return str(node.value).lower() in ("true", "yes", "on", "y")


Plain.add_constructor("tag:yaml.org,2002:map", Plain.mapping)
Plain.add_constructor("tag:yaml.org,2002:float", Plain.fraction)
Plain.add_constructor("tag:yaml.org,2002:bool", Plain.truth)
Plain.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)[eE][-+]?[0-9]+$"), list("-+.0123456789")
)
Plain.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"[-+]?0o?[0-7]+$"), list("-+0"))
Plain.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"[yYnN]$"), list("yYnN"))


@dataclass(frozen=True, kw_only=True, slots=True)
class Rendered:
    """What Helm would give to the cluster, and what it tells whoever installs."""

    manifests: tuple[Manifest, ...]
    notes: str

    def of(self, kind: str) -> list[Manifest]:
        """Every manifest of a kind."""
        return [manifest for manifest in self.manifests if manifest["kind"] == kind]

    def one(self, kind: str) -> Manifest:
        """The only manifest of a kind."""
        (found,) = self.of(kind)
        return found

    @property
    def configuration(self) -> str:
        """mailprobe.yaml as the pod has it."""
        (found,) = (one["data"]["mailprobe.yaml"] for one in self.of("ConfigMap") if "mailprobe.yaml" in one["data"])
        return str(found)


def values_of(name: str) -> Values:
    """A value set, to change as one likes."""
    read: Values = yaml.load(VALUES[name].read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    return read


@cache
def rendered(name: str) -> Rendered:
    """A value set as it is rendered; shared, so to be looked at only."""
    return render(values_of(name))


@cache
def chart() -> helm_python.Chart:
    """The chart out of the repository, its symbolic links followed."""
    return helm_python.Chart.load(CHART)


def render(
    values: Values, *, of: helm_python.Chart | None = None, release: str = "mailprobe", namespace: str = NAMESPACE
) -> Rendered:
    """Render as `helm install RELEASE` would. Raises HelmValuesError and HelmRenderError."""
    files = (of or chart()).render(values, name=release, namespace=namespace)
    texts = [text for name, text in files.items() if name.endswith(".yaml")]
    manifests = [manifest for text in texts for manifest in yaml.load_all(text, Loader=Plain) if manifest]
    return Rendered(manifests=tuple(manifests), notes=files["mailprobe/templates/NOTES.txt"])


def refusal(values: Values, *, of: helm_python.Chart | None = None, release: str = "mailprobe") -> str:
    """What Helm says of values that it does not render."""
    try:
        render(values, of=of, release=release)
    except helm_python.HelmError as error:
        return str(error)
    raise AssertionError("the chart rendered values that it must not")


def check(manifest: Manifest, version: str = KUBERNETES) -> None:
    """Hold a manifest of Kubernetes' own kinds against the schemas of a version; unknown keys are faults."""
    kubernetes_validate.validate(manifest, version, strict=True)


@cache
def _operator_schema(kind: str) -> dict[str, Any]:
    file = folder("prometheus-operator") / f"monitoring.coreos.com_{kind.lower()}s.yaml"
    definition = yaml.load(file.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    (schema,) = (one["schema"]["openAPIV3Schema"] for one in definition["spec"]["versions"] if one["name"] == "v1")
    strict: dict[str, Any] = _strict(schema)
    strict["properties"]["metadata"] = {"type": "object"}
    return strict


def check_operator_s(manifest: Manifest) -> None:
    """The same for the operator's kinds; skips the test where its definitions are not to be had."""
    jsonschema.Draft202012Validator(_operator_schema(manifest["kind"])).validate(manifest)


def _strict(schema: Any) -> Any:
    """Refuse unknown keys, as kubectl's strict validation does."""
    if isinstance(schema, list):
        return [_strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: _strict(one) for key, one in schema.items()}
    if isinstance(made.get("properties"), dict) and "additionalProperties" not in made and made.get("type") == "object":
        made["additionalProperties"] = bool(made.get("x-kubernetes-preserve-unknown-fields"))
    return made


def merged(base: Values, change: Values) -> Values:
    """Values over values, as Helm lays a second file over a first: mappings are merged, the rest is replaced."""
    made = deepcopy(base)
    for key, value in change.items():
        both = isinstance(value, dict) and isinstance(made.get(key), dict)
        made[key] = merged(made[key], value) if both else deepcopy(value)
    return made
