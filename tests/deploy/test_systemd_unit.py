"""The service as docs/install.md installs it, under a real systemd in a machine of its own (machine.py).

What the unit forbids is in force there: user, capabilities, system calls, mounts, credentials.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.deploy.machine import Machine, machine, obstacle
from tests.deploy.wheelhouse import REPOSITORY, pip_configuration, wheelhouse
from tests.lab.servers import wait_until

pytestmark = pytest.mark.xdist_group("machine")

BOUND = 1.1
"""Exposure of the service by `systemd-analyze security`, out of 10."""

UNIT = REPOSITORY / "deploy/systemd/mailprobe.service"
DROP_INS = REPOSITORY / "deploy/systemd/drop-ins"
INSTALL = (REPOSITORY / "docs/install.md").read_text()
KUBERNETES = (REPOSITORY / "docs/kubernetes.md").read_text()
USER_DATA = REPOSITORY / "deploy/cloud-init/user-data.yaml"
CHECKOUT, WHEELS, PIP = "/srv/mailprobe", "/srv/wheels", "/etc/pip-of-the-test.conf"
CONFIGURATION = """
vantage: {name: machine}
paths:
  - name: vip
    host: 127.0.0.1
    endpoints:
      - {service: smtp, port: 9}
      - {service: imaps, port: 9, login: {username: probe, password_file: "${CREDENTIALS_DIRECTORY}/mailbox"}}
evidence:
  sources:
    - {kind: file, path: /var/log/mail.log}
    - {kind: journald, units: [postfix-test.service]}
    - {kind: kubernetes, namespace: mail, selector: app=mail, kubeconfig: "${CREDENTIALS_DIRECTORY}/kubeconfig"}
"""
KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: c
clusters: [{name: c, cluster: {server: "http://127.0.0.1:6443"}}]
contexts: [{name: c, context: {cluster: c, user: u}}]
users: [{name: u, user: {token: ended}}]
"""
API = """
import http.server, threading
class Api(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        known = self.headers["Authorization"] == "Bearer renewed"
        self.send_response(200 if known else 401)
        self.end_headers()
        if known and "watch" in self.path:
            threading.Event().wait()
        self.wfile.write(b'{"kind": "PodList", "metadata": {"resourceVersion": "1"}, "items": []}')
http.server.ThreadingHTTPServer(("127.0.0.1", 6443), Api).serve_forever()
"""
"""An API with no pod, for whoever has the renewed token."""

MAIL_SERVER = """
[Service]
Type=oneshot
SyslogIdentifier=postfix/smtpd
ExecStart=/bin/echo connect from unknown[192.0.2.2]
"""
GET = "import sys, urllib.request as r; print(r.urlopen(sys.argv[1], timeout=20).read().decode())"


def documented(name: str, page: str = INSTALL) -> str:
    """The commands of a page that are marked as tested; everybody in the machine is root."""
    (block,) = re.findall(rf"<!-- tested: {name} -->\n```sh\n(.*?)```", page, re.DOTALL)
    return str(block).replace("sudo ", "")


def get(inside: Machine, path: str) -> str:
    return inside.run("/usr/bin/python3", "-c", GET, f"http://127.0.0.1:9797{path}")


def show(inside: Machine, *names: str) -> dict[str, str]:
    """What systemd knows of the service."""
    told = inside.run("systemctl", "show", "mailprobe", *(f"--property={name}" for name in names))
    return dict(row.split("=", 1) for row in told.splitlines())


def status(inside: Machine) -> dict[str, str]:
    """The kernel's view of the daemon's process."""
    rows = inside.path(f"/proc/{show(inside, 'MainPID')['MainPID']}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (row.partition(":") for row in rows)}


def drop_in(inside: Machine, name: str) -> None:
    inside.shell(
        f"install -D -m 644 {CHECKOUT}/deploy/systemd/drop-ins/{name}.conf"
        f" /etc/systemd/system/mailprobe.service.d/{name}.conf && systemctl daemon-reload"
    )


@pytest.fixture(scope="module")
def inside() -> Iterator[Machine]:
    """A machine with the checkout, and everything that pip may want in a directory."""
    if reason := obstacle():
        pytest.skip(reason)
    python = subprocess.run(
        ["/usr/bin/python3", "-c", "import sys; print('%d.%d' % sys.version_info[:2])"],
        capture_output=True,
        text=True,
        check=True,
    )
    with machine({REPOSITORY: CHECKOUT, wheelhouse(python.stdout.strip()): WHEELS}) as booted:
        booted.path(PIP).write_text(pip_configuration(WHEELS))
        yield booted


@pytest.fixture(scope="module")
def service(inside: Machine) -> Machine:
    """The machine with the service installed, configured and started, by the commands of docs/install.md."""
    inside.shell(f"umask 077; cd {CHECKOUT}; {documented('systemd')}", variables={"PIP_CONFIG_FILE": PIP})
    assert inside.run("/usr/local/bin/probe", "--version").startswith("probe ")
    assert "Loaded: loaded" in inside.run("systemctl", "status", "mailprobe", check=False)
    assert show(inside, "ActiveState") == {"ActiveState": "inactive"}
    for name in ("logs", "secrets"):
        drop_in(inside, name)
    inside.shell("umask 077; echo swordfish >/etc/mailprobe/secrets/mailbox")
    inside.path("/root/kubeconfig").write_text(KUBECONFIG)
    inside.shell(f"cd /root; ln -s {CHECKOUT}/deploy; {documented('kubeconfig', KUBERNETES)}")
    inside.run("systemd-run", "--quiet", "--unit=api", "/usr/bin/python3", "-c", API)
    inside.shell("install -m 640 -g adm /dev/null /var/log/mail.log")
    inside.path("/etc/mailprobe/mailprobe.yaml").write_text(CONFIGURATION)
    inside.shell(documented("start"), variables={"CREDENTIALS_DIRECTORY": "/etc/mailprobe/secrets"})
    return inside


def test_it_is_up_when_systemctl_returns(service: Machine) -> None:
    known = show(service, "ActiveState", "Type", "WatchdogUSec", "StatusText", "UnitFileState")
    assert (known["ActiveState"], known["Type"], known["WatchdogUSec"]) == ("active", "notify", "1min")
    assert known["UnitFileState"] == "enabled"
    assert "of 2 endpoints ok" in known["StatusText"]
    assert get(service, "/-/ready") != ""


def test_it_has_no_privilege(service: Machine) -> None:
    known = status(service)
    assert int(known["Uid"].split()[0]) > 60000  # a dynamic user
    assert {known[name] for name in ("CapPrm", "CapEff", "CapBnd", "CapAmb", "CapInh")} == {"0" * 16}
    assert (known["NoNewPrivs"], known["Seccomp"]) == ("1", "2")


def test_it_reads_both_logs_with_their_drop_in(service: Machine) -> None:
    with service.path("/var/log/mail.log").open("a") as log:
        log.write("Nov 25 17:00:00 mail postfix/smtpd[7]: connect from unknown[192.0.2.1]\n")
    service.path("/etc/systemd/system/postfix-test.service").write_text(MAIL_SERVER)
    service.shell("systemctl daemon-reload; systemctl start postfix-test")
    source = re.compile(r'^mailprobe_evidence_lines_total\{[^}]*source="(file|journald):[^}]*\} ([\d.]+)$', re.M)
    wait_until(
        lambda: (
            {kind for kind, count in source.findall(get(service, "/metrics")) if float(count) > 0}
            == {"file", "journald"}
        ),
        "a line from each source",
    )


def test_the_password_is_the_service_s_alone(service: Machine) -> None:
    assert "swordfish" not in get(service, "/config")
    copy = service.path("/run/credentials/mailprobe.service/mailbox")
    assert copy.read_text() == "swordfish\n"
    assert (
        copy.stat().st_mode & 0o077 & ~0o040 == 0
    )  # with an entry of an ACL for the user, which stat tells as group's


def test_its_history_is_in_its_own_directory(service: Machine) -> None:
    kept = service.path("/var/lib/private/mailprobe/history.db").stat()
    assert kept.st_uid == int(status(service)["Uid"].split()[0])
    assert kept.st_mode & 0o077 == 0


def test_its_history_knows_which_boot_it_is(service: Machine) -> None:
    """By that the next process knows how far the clock was set while none ran; a unit may hide it (ProcSubset=pid)."""
    ask = "import sqlite3; print(*sqlite3.connect('/var/lib/private/mailprobe/history.db').execute(\"{}\").fetchone())"
    told = service.run("/usr/bin/python3", "-c", ask.format("SELECT boot FROM reckoning"))
    assert told.split()[0] == service.run("cat", "/proc/sys/kernel/random/boot_id").strip()


def test_a_reload_takes_the_new_configuration(service: Machine) -> None:
    file = service.path("/etc/mailprobe/mailprobe.yaml")
    before = show(service, "MainPID")
    file.write_text(CONFIGURATION.replace("name: vip", "name: other"))
    service.run("systemctl", "reload", "mailprobe")
    wait_until(lambda: 'path="other"' in get(service, "/metrics"), "the new path")
    file.write_text(CONFIGURATION)
    service.run("systemctl", "reload", "mailprobe")
    wait_until(lambda: 'path="vip"' in get(service, "/metrics"), "the old path")
    assert show(service, "MainPID") == before


def test_a_refused_configuration_is_in_the_status(service: Machine) -> None:
    file = service.path("/etc/mailprobe/mailprobe.yaml")
    file.write_text(CONFIGURATION.replace("host:", "hsot:"))
    service.run("systemctl", "reload", "mailprobe")
    wait_until(
        lambda: "its new configuration was not taken" in show(service, "StatusText")["StatusText"], "the refusal"
    )
    assert "hsot" in service.run("journalctl", "--unit=mailprobe", "--lines=20", "--output=cat")
    file.write_text(CONFIGURATION)
    service.run("systemctl", "reload", "mailprobe")
    wait_until(lambda: "not taken" not in show(service, "StatusText")["StatusText"], "the good one")


def test_the_raw_socket_comes_with_its_drop_in_alone(service: Machine) -> None:
    drop_in(service, "net-raw")
    service.run("systemctl", "restart", "mailprobe")
    known = status(service)
    assert {known[name] for name in ("CapEff", "CapBnd", "CapAmb")} == {f"{1 << 13:016x}"}
    service.shell("rm /etc/systemd/system/mailprobe.service.d/net-raw.conf; systemctl daemon-reload")


def test_a_renewed_token_is_read_after_a_restart_and_not_before(service: Machine) -> None:
    """The kubeconfig is root's, and the service has a copy of the start."""
    kept = service.path("/etc/mailprobe/secrets/kubeconfig")
    assert kept.stat().st_mode & 0o077 == 0
    kept.write_text(KUBECONFIG.replace("ended", "renewed"))
    service.run("systemctl", "reload", "mailprobe")
    assert "renew the token or certificate in the kubeconfig" in get(service, "/")
    assert service.path("/run/credentials/mailprobe.service/kubeconfig").read_text() == KUBECONFIG
    service.run("systemctl", "restart", "mailprobe")
    assert "no pod in namespace mail matches app=mail" in get(service, "/")
    assert status(service)["CapEff"] == "0" * 16


def test_a_stop_is_a_clean_end(service: Machine) -> None:
    service.run("systemctl", "stop", "mailprobe")
    told = service.run("journalctl", "--unit=mailprobe", "--lines=6", "--output=cat")
    assert '"event": "stopped"' in told
    assert "mailprobe.service: Deactivated successfully." in told
    assert "Failed with result" not in told
    service.run("systemctl", "start", "mailprobe")


def test_a_faulty_configuration_is_said_and_tried_again(service: Machine) -> None:
    file = service.path("/etc/mailprobe/mailprobe.yaml")
    file.write_text(CONFIGURATION.replace("host:", "hsot:"))
    with pytest.raises(RuntimeError):
        service.run("systemctl", "restart", "mailprobe")
    assert show(service, "ExecMainStatus", "SubState") == {"ExecMainStatus": "64", "SubState": "auto-restart"}
    assert "hsot" in service.run("journalctl", "--unit=mailprobe", "--lines=20", "--output=cat")
    file.write_text(CONFIGURATION)
    service.run("systemctl", "restart", "mailprobe")


def archive(directory: Path) -> tuple[Path, str]:
    """The archive of docs/install.md, of what is committed, and its hash as it is told there."""
    asked = ["git", "rev-parse", "--absolute-git-dir"]
    place = subprocess.run(asked, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout.strip()
    surroundings = {**os.environ, "GIT_DIR": place}
    command = ["bash", "-euo", "pipefail", "-c", documented("archive")]
    told = subprocess.run(command, cwd=directory, env=surroundings, capture_output=True, text=True, check=True).stdout
    return directory / "mailprobe.tar.gz", told.split()[0]


def test_cloud_init_s_user_data_leads_to_a_running_service(service: Machine, tmp_path: Path) -> None:
    """Its files and commands as cloud-init would write and run them; packages of the distribution are there already."""
    made, digest = archive(tmp_path)
    service.path("/root/mailprobe.tar.gz").write_bytes(made.read_bytes())
    told = yaml.safe_load(USER_DATA.read_text())
    for file in told["write_files"]:
        place = service.path(file["path"])
        place.write_text(file["content"])
        place.chmod(int(file.get("permissions", "0644"), 8))
    (command,) = told["runcmd"]
    fetched = service.path("/etc/mailprobe/install.env")
    fetched.write_text(fetched.read_text().replace("https://files.example.org", "file:///root"))
    before = show(service, "MainPID")
    with pytest.raises(RuntimeError, match=r"archive: FAILED|did NOT match"):
        service.run(*command, variables={"PIP_CONFIG_FILE": PIP})
    assert show(service, "MainPID") == before
    fetched.write_text(fetched.read_text().replace("0" * 64, digest))
    service.run(*command, variables={"PIP_CONFIG_FILE": PIP})
    assert show(service, "ActiveState") == {"ActiveState": "active"}
    assert 'path="internet"' in get(service, "/metrics")
    assert show(service, "MainPID") != before


@pytest.mark.parametrize(
    ("more", "bound"), [((), BOUND), (("logs", "secrets", "kubeconfig"), BOUND), (("net-raw",), 1.6)]
)
def test_what_it_exposes_stays_within_its_bound(tmp_path: Path, more: tuple[str, ...], bound: float) -> None:
    unit = tmp_path / UNIT.name
    unit.write_text("\n".join([UNIT.read_text(), *((DROP_INS / f"{name}.conf").read_text() for name in more)]))
    words = ["--offline=true", "--no-pager", f"--threshold={round(bound * 10)}", str(unit)]
    done = subprocess.run(["systemd-analyze", "security", *words], capture_output=True, text=True, check=False)
    (score,) = re.findall(r"exposure level for mailprobe.service: ([\d.]+)", done.stdout)
    assert done.returncode == 0, score


def test_the_documented_score_is_the_bound() -> None:
    assert f"**{BOUND} (OK)**" in INSTALL
    assert "the score is then 1.6" in INSTALL


def test_systemd_finds_no_fault_in_the_unit(service: Machine) -> None:
    assert service.run("systemd-analyze", "verify", "/etc/systemd/system/mailprobe.service") == ""
