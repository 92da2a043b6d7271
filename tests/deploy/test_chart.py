"""The chart over a dozen value sets: lint, manifests against Kubernetes' schemas, the configuration against the probe.

What each value set is for stands in its first line (tests/deploy/values).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import helm_python
import jsonschema  # type: ignore[import-untyped]
import kubernetes_validate
import pytest
import trustme
import yaml
from click.testing import CliRunner

import probe
from deploy.helm import values_schema
from probe.cli import command
from tests.deploy.chart import (
    CHART,
    OLDEST,
    OPERATOR,
    REPOSITORY,
    VALUES,
    Manifest,
    Plain,
    Values,
    check,
    check_operator_s,
    merged,
    refusal,
    render,
    rendered,
    values_of,
)

PROBES = sorted(set(VALUES) - {"account-only"})
_WARNING = 2
_FILE = re.compile(r"(?:/var)?/(?:run/secrets|etc/home-ca|host|var/log)/[\w./-]+")


def pods(name: str) -> Iterator[Manifest]:
    """The specifications of all pods of a value set."""
    told = rendered(name)
    yield from (one["spec"]["template"]["spec"] for one in told.of("Deployment"))
    yield from (one["spec"] for one in told.of("Pod"))


@pytest.mark.parametrize("name", [*VALUES, "of the chart"])
def test_lint_has_nothing_to_say(name: str) -> None:
    given = values_of(name) if name in VALUES else None
    report = helm_python.lint(CHART, given, strict=True)
    assert report["total_charts_linted"] == 1
    assert [one for one in report["messages"] if one["severity"] >= _WARNING] == []


@pytest.mark.parametrize("name", VALUES)
def test_manifests_are_sound(name: str) -> None:
    manifests = rendered(name).manifests
    for manifest in manifests:
        if manifest["apiVersion"] != OPERATOR:
            check(manifest)
    told = [(one["kind"], one["metadata"].get("namespace"), one["metadata"]["name"]) for one in manifests]
    assert len(set(told)) == len(told) > 0


def test_a_release_and_its_namespace_may_have_the_names_of_numbers() -> None:
    told = render(values_of("looks-like-numbers"), release="1e3", namespace="0123")
    for manifest in told.manifests:
        if manifest["apiVersion"] != OPERATOR:
            check(manifest)
        mine = "7" if manifest["kind"] == "ServiceMonitor" else "1e3"
        assert manifest["metadata"]["labels"]["app.kubernetes.io/instance"] == mine


@pytest.mark.parametrize(
    "text", ["uid: 1.00066e+09", "uid: 1e3", "size: 1.5", "{a: 1, a: 2}"], ids=["Go's", "short", "fraction", "twice"]
)
def test_what_the_api_would_take_for_something_else_is_found(text: str) -> None:
    with pytest.raises(yaml.constructor.ConstructorError, match=r"no integer|twice in one mapping"):
        yaml.load(text, Loader=Plain)
    assert yaml.load("[n, 0o17, '1e3']", Loader=Plain) == [False, 15, "1e3"]


@pytest.mark.parametrize("name", ["inside", "syslog"])
def test_they_are_for_the_oldest_kubernetes_too(name: str) -> None:
    for manifest in rendered(name).manifests:
        check(manifest, OLDEST)


def test_a_misspelt_key_would_be_found() -> None:
    wrong = deepcopy(rendered("minimal").one("Deployment"))
    wrong["spec"]["template"]["spec"]["containers"][0]["securityContext"]["readOnlyRootFilesytem"] = True
    with pytest.raises(kubernetes_validate.ValidationError, match="readOnlyRootFilesytem"):
        check(wrong)


def test_the_operator_s_objects_are_as_its_definitions_want_them() -> None:
    seen = set()
    for name in VALUES:
        for manifest in rendered(name).manifests:
            if manifest["apiVersion"] == OPERATOR:
                seen.add(manifest["kind"])
                check_operator_s(manifest)
                wrong = deepcopy(manifest)
                wrong["spec"]["intervall"] = "30s"
                with pytest.raises(jsonschema.ValidationError, match="intervall"):
                    check_operator_s(wrong)
    assert seen == {"ServiceMonitor", "Probe", "PrometheusRule"}


# What the probe reads


@pytest.mark.parametrize("name", PROBES)
def test_the_configuration_passes_check_config(name: str, tmp_path: Path) -> None:
    """With every file that it names in a volume of the pod."""
    told = rendered(name)
    text, mounts = told.configuration, list(_mounts(told.one("Deployment")))
    for file in set(_FILE.findall(text)):
        assert any(file.startswith(f"{mount}/") for mount in mounts), (file, mounts)
        _place(tmp_path / file.lstrip("/"))
    config = tmp_path / "mailprobe.yaml"
    config.write_text(_FILE.sub(lambda found: f"{tmp_path}{found[0]}", text), encoding="utf-8")
    variables = {one["name"]: "10.0.20.202" for one in _container(told.one("Deployment")).get("env", ())}
    done = CliRunner().invoke(command, ["check-config", "--config", str(config)], env=variables)
    assert (done.exit_code, "ok: " in done.output) == (0, True), done.output


def _mounts(deployment: Manifest) -> Iterator[str]:
    """Where volumes are mounted; each of them is there."""
    spec = deployment["spec"]["template"]["spec"]
    there = {volume["name"] for volume in spec["volumes"]}
    for mount in _container(deployment)["volumeMounts"]:
        assert mount["name"] in there
        yield mount["mountPath"]
    if spec["automountServiceAccountToken"]:
        yield "/var/run/secrets/kubernetes.io/serviceaccount"


def _container(deployment: Manifest) -> dict[str, Any]:
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    found: dict[str, Any] = container
    return found


def _place(file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    texts = {".pem": trustme.CA().cert_pem.bytes(), ".yaml": b"{}\n"}
    file.write_bytes(texts.get(file.suffix, b"secret\n"))
    file.chmod(0o440)


def test_the_configuration_is_what_was_given_and_four_keys_more() -> None:
    given = values_of("hostile")
    told = yaml.safe_load(render(given).configuration)
    assert told.pop("web") == {"listen": ":9797"}
    assert told.pop("history") == {"file": "/var/lib/mailprobe/history.db", "size": "2576MB"}
    assert told == given["config"]


def test_what_the_chart_would_add_is_left_as_it_was_given() -> None:
    mine = {
        "web": {"listen": "[::]:9999"},
        "history": {"file": "/var/lib/mailprobe/mine.db", "size": "500MB"},
        "vantage": {"name": "me"},
    }
    told = yaml.safe_load(render(merged(values_of("minimal"), {"config": mine})).configuration)
    assert {key: told[key] for key in mine} == mine


def test_the_vantage_is_named_after_the_release_and_its_namespace_and_not_after_a_pod() -> None:
    given = values_of("minimal")
    for namespace, release, name in (
        ("mailprobe", "mailprobe", "mailprobe"),
        ("mail", "mailprobe", "mail-mailprobe"),
        ("mailprobe", "outside", "mailprobe-outside-mailprobe"),
    ):
        told = render(given, release=release, namespace=namespace)
        assert yaml.safe_load(told.configuration)["vantage"]["name"] == name
        assert f"It is the vantage {name}." in told.notes
    told = render(merged(given, {"config": {"vantage": {"name": "me"}}}))
    assert "It is the vantage" not in told.notes


def test_the_example_of_the_repository_can_be_installed() -> None:
    example = yaml.safe_load((REPOSITORY / "mailprobe.example.yaml").read_text(encoding="utf-8"))
    log = {"extraVolumes": [{"name": "log", "hostPath": {"path": "/var/log"}}]}
    log["extraVolumeMounts"] = [{"name": "log", "mountPath": "/var/log"}]
    assert render({"hostNetwork": True, "config": example, **log}).one("Deployment")


# The schema of the values


def test_the_schema_of_the_configuration_is_the_probe_s() -> None:
    now = values_schema.FILE.read_text(encoding="utf-8")
    assert now == values_schema.text(values_schema.with_configuration(yaml.safe_load(now))), "run make chart-schema"


def test_every_value_has_a_schema_and_every_schema_a_value() -> None:
    schema = yaml.safe_load(values_schema.FILE.read_text(encoding="utf-8"))
    given = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    assert set(schema["properties"]) == {*given, "global"}
    for key, one in schema["properties"].items():
        if key != "config" and one.get("additionalProperties") is False:
            assert set(one["properties"]) == set(given[key]), key


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"replicaCount": 2}, "replicaCount"),
        ({"config": None}, "config"),
        ({"image": {"digest": "latest"}}, "digest"),
        ({"history": None}, "history"),
        ({"history": {"size": "1 GB"}}, "size"),
        ({"history": {"size": "1K"}}, "size"),
        ({"history": {"storageClass": "Fast Disk"}}, "storageClass"),
        ({"history": {"existingClaim": "Old"}}, "existingClaim"),
        ({"runAsUser": 0}, "runAsUser"),
        ({"fsGroup": 1 << 31}, "fsGroup"),
        ({"fullnameOverride": "Mail_Probe"}, "fullnameOverride"),
        ({"fullnameOverride": "1probe"}, "fullnameOverride"),
        ({"nameOverride": "Mail Probe"}, "nameOverride"),
        ({"priorityClassName": "High!"}, "priorityClassName"),
        ({"serviceAccount": {"name": "Mine"}}, "serviceAccount"),
        ({"podLabels": {"app.kubernetes.io/name": "x"}}, "podLabels/app.kubernetes.io~1name"),
        ({"podLabels": {"app.kubernetes.io/component": "x"}}, "podLabels/app.kubernetes.io~1component"),
        ({"podAnnotations": {"checksum/config": "x"}}, "podAnnotations/checksum~1config"),
        ({"serviceMonitor": {"interval": "30s1m"}}, "interval"),
        ({"config": {"paths": [{"name": "vip", "host": "10.0.20", "endpoints": [{"service": "smtp"}]}]}}, "host"),
        ({"config": {"topology": {"nodes": {"node1": "10.0.20"}}}}, "node1"),
        ({"config": {"web": {"listen": ":97970"}}}, "listen"),
        ({"config": {"web": {"listen": "http://0.0.0.0:9797"}}}, "listen"),
        ({"config": {"path": []}}, "path"),
        ({"config": {"paths": []}}, "paths"),
        ({"config": {"schedule": {"interval": "often"}}}, "interval"),
        ({"config": {"evidence": {"sources": [{"kind": "fiel"}]}}}, "sources"),
        ({"secrets": [{"name": "login", "password": "x"}]}, "password"),
    ],
)
def test_values_that_nobody_can_mean_are_refused_by_name(change: Values, named: str) -> None:
    said = refusal(merged(values_of("minimal"), change))
    assert "schema" in said
    assert named in said


def test_a_key_without_a_value_is_the_same_as_no_key() -> None:
    """Of the configuration at every depth, as the probe takes it, and of what the chart does not need."""
    empty = {
        key: None for key in values_schema.with_configuration({"properties": {}})["properties"]["config"]["properties"]
    }
    given = values_of("minimal")
    (path,) = given["config"]["paths"]
    config = {**empty, "paths": [{**path, "tls": None, "source_address": None}], "timeouts": {"session": None}}
    config["evidence"] = {"sources": None, "reply": None}
    needless = dict.fromkeys(("resources", "nodeSelector", "tolerations", "secrets", "podLabels", "nameOverride"))
    told = render({**given, "config": config, **needless})
    check(told.one("Deployment"))
    assert "resources" not in _container(told.one("Deployment"))
    assert yaml.safe_load(told.configuration)["web"] == {"listen": ":9797"}
    assert refusal(merged(given, {"config": {"schedule": {"interval": "often"}}})).count("interval") >= 1


# What the pod may do


@pytest.mark.parametrize("name", PROBES)
def test_no_pod_has_a_privilege(name: str) -> None:
    for pod in pods(name):
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] in (True, False)
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }


@pytest.mark.parametrize("name", VALUES)
def test_no_secret_is_ever_made_only_named(name: str) -> None:
    assert rendered(name).of("Secret") == []


def test_large_ids_are_written_out() -> None:
    """OpenShift's are all of that size; Plain would find an exponent."""
    for pod in pods("looks-like-numbers"):
        chosen = {key: pod["securityContext"][key] for key in ("runAsUser", "runAsGroup", "fsGroup")}
        assert set(chosen.values()) == {1000660000}
        assert pod["securityContext"]["supplementalGroups"] == [4, 1000660000]


def test_users_are_the_image_s_or_the_platform_s() -> None:
    (daemon, _) = pods("minimal")
    chosen = {key: daemon["securityContext"].get(key) for key in ("runAsUser", "runAsGroup", "fsGroup")}
    assert chosen == {"runAsUser": 10001, "runAsGroup": 10001, "fsGroup": 10001}
    (left,) = pods("openshift")
    assert set(left["securityContext"]) == {"runAsNonRoot", "seccompProfile"}


def test_the_token_is_there_only_where_it_is_used() -> None:
    assert {name: next(pods(name))["automountServiceAccountToken"] for name in ("outside", "inside", "openshift")} == {
        "outside": False,
        "inside": True,
        "openshift": True,
    }


def test_files_of_secrets_are_for_the_group_only() -> None:
    """Otherwise the probe itself warns of them."""
    for pod in pods("outside"):
        modes = [volume["secret"]["defaultMode"] for volume in pod["volumes"] if "secret" in volume]
        assert modes == [0o440, 0o440]


# The daemon


def test_there_is_one_daemon_at_a_time() -> None:
    spec = rendered("minimal").one("Deployment")["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})


def test_a_changed_configuration_starts_the_daemon_anew_and_nothing_else_does() -> None:
    def checksum(change: Values) -> str:
        told = render(merged(values_of("minimal"), change)).one("Deployment")
        return str(told["spec"]["template"]["metadata"]["annotations"]["checksum/config"])

    assert checksum({"config": {"schedule": {"interval": "1m"}}}) != checksum({})
    assert checksum({"service": {"port": 80}}) == checksum({})


@pytest.mark.parametrize(
    ("change", "asked"),
    [
        ({}, {"httpGet": {"path": "/-/healthy", "port": "http", "scheme": "HTTP"}}),
        ({"config": {"web": {"config_file": "/run/secrets/w/web.yaml"}}}, {"tcpSocket": {"port": "http"}}),
        (
            {"lifeSigns": {"over": "https"}, "config": {"web": {"config_file": "/run/secrets/w/web.yaml"}}},
            {"httpGet": {"path": "/-/healthy", "port": "http", "scheme": "HTTPS"}},
        ),
        (
            {"lifeSigns": {"over": "exec"}, "config": {"web": {"listen": "192.168.5.7:9798"}}, "hostNetwork": True},
            {"exec": {"command": ["env", "MAILPROBE_HEALTH_URL=http://192.168.5.7:9798/-/healthy", "healthy"]}},
        ),
        (
            {
                "lifeSigns": {"over": "exec"},
                "scrape": {"scheme": "https"},
                "config": {"web": {"config_file": "/run/secrets/w/web.yaml"}},
            },
            {"exec": {"command": ["env", "MAILPROBE_HEALTH_URL=https://127.0.0.1:9797/-/healthy", "healthy"]}},
        ),
        (
            {"config": {"web": {"config_file": None}}},
            {"httpGet": {"path": "/-/healthy", "port": "http", "scheme": "HTTP"}},
        ),
    ],
)
def test_signs_of_life_are_asked_for_as_the_daemon_answers(change: Values, asked: dict[str, Any]) -> None:
    container = _container(
        render(merged(values_of("minimal"), change | {"secrets": [{"name": "w"}]})).one("Deployment")
    )
    assert {key: container["livenessProbe"][key] for key in asked} == asked
    if "httpGet" in asked:
        assert container["readinessProbe"]["httpGet"]["path"] == "/-/ready"


def test_the_history_is_a_claim_a_given_claim_or_nothing() -> None:
    def history(name: str) -> tuple[dict[str, Any], int]:
        told = rendered(name)
        volumes = told.one("Deployment")["spec"]["template"]["spec"]["volumes"]
        (volume,) = (one for one in volumes if one["name"] == "history")
        return {key: one for key, one in volume.items() if key != "name"}, len(told.of("PersistentVolumeClaim"))

    assert history("minimal") == ({"persistentVolumeClaim": {"claimName": "mailprobe-history"}}, 1)
    assert history("everything-named") == ({"persistentVolumeClaim": {"claimName": "old-history"}}, 0)
    assert history("openshift") == ({"emptyDir": {"sizeLimit": "200Mi"}}, 0)


def test_helm_test_is_a_round_with_the_daemon_s_configuration_that_can_forge_nothing() -> None:
    """A forged header is sent only where that can be remembered, and there is no place for it."""
    told = rendered("outside")
    test = told.one("Pod")
    assert test["metadata"]["annotations"]["helm.sh/hook"] == "test"
    (container,) = test["spec"]["containers"]
    assert container["args"] == ["--once", "--config", "/etc/mailprobe/mailprobe.yaml", "--wait", "60"]
    (large,) = rendered("looks-like-numbers").one("Pod")["spec"]["containers"]
    assert large["args"][-1] == "1000000"
    history = {"name": "history", "mountPath": "/var/lib/mailprobe"}
    assert [*container["volumeMounts"], history] == _container(told.one("Deployment"))["volumeMounts"]
    assert "history" not in [volume["name"] for volume in test["spec"]["volumes"]]


def test_the_image_is_named_by_digest_where_there_is_one() -> None:
    image = _container(rendered("everything-named").one("Deployment"))["image"]
    assert image == f"registry.example.org/mail/mailprobe@sha256:{'0' * 63}1"
    assert _container(rendered("minimal").one("Deployment"))["image"] == f"mailprobe:{probe.__version__}"


def test_the_chart_is_of_this_version() -> None:
    told = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    assert told["appVersion"] == probe.__version__
