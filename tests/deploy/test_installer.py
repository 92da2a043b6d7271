"""install.sh where it must not install: it says so, and leaves everything as it is."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.deploy.chart import REPOSITORY

HERE = ("deploy/systemd/install.sh", "deploy/requirements.lock")
"""As much of a checkout as it asks for; without deploy/build.lock no installation gets anywhere."""

PLAY = """
mount --make-rprivate /
mount -t tmpfs tmpfs /opt
mkdir /opt/mailprobe
cp -a "$1/." "$2"
echo mine >/opt/mailprobe/mailprobe.yaml
touch /opt/mailprobe/pyvenv.cfg
find /opt | sort >"$1/before"
code=0
sh "$2/deploy/systemd/install.sh" || code=$?
find /opt | sort | diff "$1/before" -
exit $code
"""


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="needs a mount of its own")
@pytest.mark.parametrize(
    ("checkout", "said"),
    [
        ("/opt/mailprobe", "the checkout is in /opt/mailprobe, where the virtual environment goes: move it elsewhere"),
        ("/opt/elsewhere", "/opt/mailprobe holds more than a virtual environment (mailprobe.yaml): move that away"),
    ],
)
def test_what_is_in_its_place_is_not_wiped(tmp_path: Path, checkout: str, said: str) -> None:
    for name in HERE:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY / name, tmp_path / name)
    play = ["unshare", "-m", "sh", "-euc", PLAY, "sh", str(tmp_path), checkout]
    done = subprocess.run(play, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (1, ""), done
    assert said in done.stderr
