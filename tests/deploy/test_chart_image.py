"""What the chart takes for granted of the image."""

from __future__ import annotations

import re

from tests.deploy.chart import REPOSITORY, render, rendered, values_of
from tests.deploy.image import AUTHORITIES

DOCKERFILE = (REPOSITORY / "Dockerfile").read_text(encoding="utf-8")


def test_the_pod_is_the_image_s() -> None:
    pod = rendered("minimal").one("Deployment")["spec"]["template"]["spec"]
    user = pod["securityContext"]["runAsUser"]
    (container,) = pod["containers"]
    assert re.search(rf"^USER {user}(:{user})?$", DOCKERFILE, re.MULTILINE)
    assert re.search(r'^ENTRYPOINT \["probe"\]$', DOCKERFILE, re.MULTILINE)
    assert re.search(rf"^EXPOSE {container['ports'][0]['containerPort']}$", DOCKERFILE, re.MULTILINE)
    assert "command" not in container


def test_the_authorities_of_the_image_need_no_mount() -> None:
    """tests/deploy/test_image.py looks for them there."""
    values = values_of("minimal")
    values["config"]["paths"][0]["tls"] = {"ca_file": AUTHORITIES}
    assert AUTHORITIES in render(values).configuration
