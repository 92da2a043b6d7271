"""What the documents tell people to write is taken by the chart and by the probe."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import yaml
from click.testing import CliRunner

from probe.cli import command
from tests.deploy.chart import NAMESPACE, REPOSITORY, chart, check_operator_s, merged, render, values_of

HELM = (REPOSITORY / "docs/helm.md").read_text(encoding="utf-8")


def blocks(page: str) -> list[dict[str, Any]]:
    """The YAML of a document."""
    text = (REPOSITORY / "docs" / page).read_text(encoding="utf-8")
    return [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)]


def test_the_values_of_the_document_install_both_halves() -> None:
    (values,) = (block for block in blocks("helm.md") if "config" in block)
    assert render(values).one("Deployment")
    account = {one["kind"] for one in render(values | {"accountOnly": True}).manifests}
    assert "ClusterRole" in account
    watched = {name: {"enabled": True} for name in ("prometheusRule", "dashboard")}
    here = {one["kind"] for one in render(values | {"accountOnly": True} | watched).manifests}
    assert here == account | {"PrometheusRule", "ConfigMap"}
    image = {"image": {"repository": "registry.example.org/mailprobe", "tag": "$tag"}}
    (container,) = render(values | image).one("Deployment")["spec"]["template"]["spec"]["containers"]
    assert f'docker push "{container["image"]}"\n' in HELM


def test_the_daemon_s_own_configuration_makes_the_values_of_the_account(tmp_path: Path) -> None:
    """By the line of the document, whatever is in the file."""
    (line,) = re.findall(r"^\{ echo config:;.*$", HELM, re.MULTILINE)
    example = REPOSITORY / "mailprobe.example.yaml"
    (tmp_path / "mailprobe.yaml").write_bytes(b"---\n" + example.read_bytes())
    subprocess.run(["sh", "-euc", line], cwd=tmp_path, check=True)
    values = yaml.safe_load((tmp_path / "values.yaml").read_text(encoding="utf-8"))
    assert values == {"config": yaml.safe_load(example.read_text(encoding="utf-8"))}
    told = render(values | {"accountOnly": True, "dashboard": {"enabled": True}})
    assert [one["kind"] for one in told.manifests] == ["ConfigMap"]


def test_the_rendered_configuration_can_be_checked_before_it_is_installed(tmp_path: Path) -> None:
    """By the document's `rendered`, in which `helm template` is played by Helm's engine; told is what Helm let pass."""
    (line,) = re.findall(r"^rendered\(\) .*$", HELM, re.MULTILINE)
    wrong = merged(values_of("outside"), {"config": {"timeouts": {"connect": "40s", "session": "30s"}}})
    wrong["config"]["paths"][0]["endpoints"].append({"service": "smtp"})
    manifest = tmp_path / "manifest"
    manifest.write_text(
        chart().render(wrong, name="mailprobe", namespace=NAMESPACE)["mailprobe/templates/configmap.yaml"]
    )
    asked = f"helm() {{ cat {manifest}; }}; {line}; rendered"
    text = subprocess.run(["sh", "-euc", asked], check=True, capture_output=True, text=True).stdout
    assert yaml.safe_load(text) == yaml.safe_load(render(wrong).configuration)
    file = tmp_path / "new.yaml"
    file.write_text(text)
    done = CliRunner().invoke(command, ["check-config", "--config", str(file)])
    assert "timeouts.connect: found 40s, expected at most timeouts.session, which is 30s" in done.output
    assert "paths[0].endpoints[4]: found smtp on port 25, expected each once on a path" in done.output


def test_the_probe_resource_of_the_document_is_one() -> None:
    (resource,) = (block for block in blocks("helm.md") if block.get("kind") == "Probe")
    check_operator_s(resource)


def test_the_paths_of_the_recipes_are_sound(tmp_path: Path) -> None:
    (configuration,) = blocks("drains.md")
    file = tmp_path / "mailprobe.yaml"
    file.write_text(yaml.safe_dump(configuration), encoding="utf-8")
    done = CliRunner().invoke(command, ["check-config", "--config", str(file)])
    assert done.exit_code == 0, done.output


def test_files_that_are_named_are_there() -> None:
    for page in ("helm.md", "drains.md", "kubernetes.md"):
        text = (REPOSITORY / "docs" / page).read_text(encoding="utf-8")
        for named in re.findall(r"\bdeploy/[\w./-]*\w", text):
            if not named.startswith("deploy/mailserver"):
                assert (REPOSITORY / named).exists(), (page, named)
