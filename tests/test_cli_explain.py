"""`probe explain` as a user types it: what is read, what is printed, how it ends."""

from __future__ import annotations

import array
import fcntl
import gzip
import json
import os
import pty
import re
import signal
import subprocess
import sys
import termios
from pathlib import Path
from subprocess import PIPE
from typing import Any

import pytest

from probe.settings.loading import SYSTEM_FILE
from tests.loaded import shared

PROBE = [sys.executable, "-m", "probe"]
REPOSITORY = Path(__file__).parent.parent
NODE = b"Nov 22 18:29:06 mail postfix/smtpd[1]: disconnect from unknown[10.0.20.102] ehlo=1 mail=1 commands=2\n"
STRANGER = b"Nov 22 18:29:06 mail postfix/smtpd[1]: disconnect from unknown[198.51.100.7] ehlo=1 mail=1 commands=2\n"
CONFIGURATION = """
paths: [{name: vip, host: 10.0.20.202, endpoints: [{service: smtp}]}]
evidence: {sources: [{kind: file, path: /var/log/mail.log}]}
topology: {health_check_node_port: 30234, nodes: {k8s-node2: 10.0.20.102}}
"""


def surroundings(**environment: str) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if key != "MAILPROBE_CONFIG"}
    return {**kept, "PYTHONPATH": str(REPOSITORY), **environment}


def explain(*arguments: str, cwd: Path, given: bytes = b"", **environment: str) -> tuple[int, str, str]:
    done = shared().run("explain", *arguments, given=given, cwd=cwd, environment=surroundings(**environment))
    return done.returncode, done.stdout, done.stderr


def told(*arguments: str, cwd: Path, given: bytes = b"") -> dict[str, Any]:
    code, out, err = explain("--format", "json", *arguments, cwd=cwd, given=given)
    answer: dict[str, Any] = json.loads(out)
    assert (code, err) == (answer["exit_code"], "")
    return answer


@pytest.fixture(autouse=True)
def _no_configuration_of_this_machine() -> None:
    if SYSTEM_FILE.exists():
        pytest.skip(f"probe explain takes names from {SYSTEM_FILE}, and this machine has one")


class TestConclusions:
    def test_the_conclusion_comes_first(self, tmp_path: Path) -> None:
        (tmp_path / "mailprobe.yaml").write_text(CONFIGURATION)
        code, out, err = explain(cwd=tmp_path, given=NODE * 97 + STRANGER * 3)
        assert (code, err) == (2, "")
        first, second, *_ = out.splitlines()
        assert first == (
            "CRITICAL: 97% of 100 clients at postfix/smtpd that began a mail or a login come from 10.0.20.102 "
            "(k8s-node2), a cluster node: kube-proxy or the node's NAT hides the clients."
        )
        assert second == f"  First line: {NODE.decode().strip()}"

    @pytest.mark.parametrize(
        ("given", "code"), [(STRANGER * 30, 0), (NODE * 30, 1), (b"", 3), (b"\x00\xff junk\n" * 9, 3), (NODE, 3)]
    )
    def test_exit_codes_without_a_configuration(self, tmp_path: Path, given: bytes, code: int) -> None:
        assert explain(cwd=tmp_path, given=given)[0] == code
        assert told(cwd=tmp_path, given=given)["exit_code"] == code

    def test_what_a_log_says_never_moves_the_cursor(self, tmp_path: Path) -> None:
        odd = "\x1b[2J\x9b31m\u202e\r\x07 odd\n".encode() * 3
        code, out, _ = explain(cwd=tmp_path, given=odd + NODE * 30)
        assert code == 1
        assert "\\x1b[2J\\x9b31m\\u202e" in out
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", out)


class TestFiles:
    def test_files_in_the_order_given_and_twice_if_named_twice(self, tmp_path: Path) -> None:
        (tmp_path / "mail.log").write_bytes(STRANGER * 2)
        (tmp_path / "mail.log.1.gz").write_bytes(gzip.compress(NODE * 3))
        names = ["mail.log.1.gz", "mail.log", "-", "mail.log"]
        answer = told(*names, cwd=tmp_path, given=STRANGER)
        assert [(log["name"], log["lines"]) for log in answer["logs"]] == list(zip(names, (3, 2, 1, 2), strict=True))
        assert answer["clients"]["by_network"] == {"private": 3, "public": 5}
        assert answer["complete"] is True

    def test_what_cannot_be_read_is_named_and_the_others_go_on(self, tmp_path: Path) -> None:
        (tmp_path / "mail.log").write_bytes(STRANGER * 30)
        (tmp_path / "cut.gz").write_bytes(gzip.compress(STRANGER * 9)[:-9])
        answer = told("nowhere", ".", "cut.gz", "mail.log", cwd=tmp_path)
        assert (answer["status"], answer["complete"]) == ("unknown", False)
        assert [bool(log["fault"]) for log in answer["logs"]] == [True, True, True, False]
        assert answer["clients"]["total"] == 39
        for name in ("nowhere: no such file", ".: is a directory", "cut.gz: its compressed content ends too early"):
            assert name in answer["findings"][0]["sentence"]

    def test_a_million_addresses_are_not_all_remembered(self, tmp_path: Path) -> None:
        addresses = (f"2001:db8::{number >> 16:x}:{number & 65535:x}" for number in range(120_000))
        head = "Nov 22 18:29:06 mail postfix/smtpd[1]: connect from unknown"
        lines = "".join(f"{head}[{address}]\n" for address in addresses)
        answer = told(cwd=tmp_path, given=lines.encode())
        assert answer["clients"]["total"] == 120_000
        assert answer["clients"]["addresses"] + answer["clients"]["addresses_forgotten"] == 120_000
        assert answer["clients"]["addresses_forgotten"] > 0
        assert len(answer["listeners"][0]["addresses"]) == 20


class TestConfiguration:
    def test_one_that_is_asked_for_must_be_sound(self, tmp_path: Path) -> None:
        (tmp_path / "bad.yaml").write_text("paths: 7")
        assert explain("--config", "bad.yaml", cwd=tmp_path)[0] == 64
        assert explain("--config", "nowhere.yaml", cwd=tmp_path)[0] == 64
        assert explain(cwd=tmp_path, MAILPROBE_CONFIG="nowhere.yaml")[0] == 64

    def test_one_that_lies_about_need_not_be(self, tmp_path: Path) -> None:
        (tmp_path / "mailprobe.yaml").write_text("paths: 7")
        code, _, err = explain(cwd=tmp_path, given=STRANGER * 30)
        assert code == 0
        assert "goes on without" in err
        assert "paths" in err

    @pytest.mark.parametrize("before", [["--config", "other.yaml", "explain"], ["explain", "--config", "other.yaml"]])
    def test_it_may_be_named_before_the_command_or_after(self, tmp_path: Path, before: list[str]) -> None:
        (tmp_path / "other.yaml").write_text(CONFIGURATION)
        done = subprocess.run(
            [*PROBE, *before], cwd=tmp_path, env=surroundings(), input=NODE * 30, capture_output=True, check=False
        )
        assert (done.returncode, b"(k8s-node2)" in done.stdout) == (2, True)

    @pytest.mark.parametrize("arguments", [["--format", "nagios"], ["--nonsense"]])
    def test_wrong_usage(self, tmp_path: Path, arguments: list[str]) -> None:
        code, out, err = explain(*arguments, cwd=tmp_path)
        assert (code, out, "Traceback" in err) == (64, "", False)


class TestEnding:
    @pytest.mark.parametrize("form", ["table", "json"])
    @pytest.mark.parametrize("out", ["| true", ">&-", "2>&-", ">/dev/full"])
    def test_the_exit_code_survives_a_lost_output(self, tmp_path: Path, form: str, out: str) -> None:
        (tmp_path / "mail.log").write_bytes(NODE * 30)
        line = f"{' '.join(PROBE)} explain --format {form} mail.log {out}; exit ${{PIPESTATUS[0]}}"
        done = subprocess.run(["bash", "-c", line], cwd=tmp_path, env=surroundings(), capture_output=True, check=False)
        assert (done.returncode, b"Traceback" in done.stderr) == (1, False)

    def test_closed_standard_input_is_named(self, tmp_path: Path) -> None:
        line = f"{' '.join(PROBE)} explain <&-"
        done = subprocess.run(["bash", "-c", line], cwd=tmp_path, env=surroundings(), capture_output=True, check=False)
        assert (done.returncode, b"Traceback" in done.stderr, b"-: " in done.stdout) == (3, False, True)

    @pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
    def test_an_interrupt_ends_the_reading_and_not_the_answer(self, tmp_path: Path, number: int, code: int) -> None:
        fifo = tmp_path / "fifo"
        os.mkfifo(fifo)
        child = subprocess.Popen(
            [*PROBE, "explain", "--format", "json", "fifo"], cwd=tmp_path, env=surroundings(), stdout=PIPE, stderr=PIPE
        )
        with fifo.open("wb", buffering=0) as end:  # opens once the child does
            end.write(NODE * 30)
            wait_until_read(child.pid, fifo)
            child.send_signal(number)
            out, err = child.communicate(timeout=20)
        answer = json.loads(out)
        assert (child.returncode, b"Traceback" in err) == (code, False)
        assert (answer["complete"], answer["clients"]["total"]) == (False, 30)
        assert answer["findings"][-1]["rule"] != "nothing-understood"

    def test_progress_is_shown_on_a_terminal_and_only_there(self, tmp_path: Path) -> None:
        (tmp_path / "mail.log").write_bytes(NODE * 100_000)
        master, slave = pty.openpty()
        command = [*PROBE, "explain", "--format", "json", "mail.log"]
        child = subprocess.Popen(command, cwd=tmp_path, env=surroundings(TERM="xterm"), stdout=PIPE, stderr=slave)
        os.close(slave)
        out, _ = child.communicate(timeout=60)
        shown = os.read(master, 1 << 16).decode()
        os.close(master)
        assert (child.returncode, json.loads(out)["lines"]) == (1, 100_000)
        assert "reading" in shown
        assert "lines" in shown


def wait_until_read(pid: int, fifo: Path) -> None:
    """Return when the child waits for more: its read of the pipe has taken all there was."""
    end = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    left = array.array("i", [1])
    while left[0]:
        fcntl.ioctl(end, termios.FIONREAD, left)
    os.close(end)
    while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "S":
        pass
