"""The image's health check against listeners that answer, refuse, hang up, or say nothing."""

from __future__ import annotations

import contextlib
import runpy
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import pytest
import trustme

from tests.deploy.wheelhouse import REPOSITORY

SCRIPT = REPOSITORY / "deploy/image/healthy.py"
ask = runpy.run_path(str(SCRIPT))["ask"]


@contextlib.contextmanager
def listening(
    answer: Callable[[socket.socket], None], family: int = socket.AF_INET, *, clients: int = 1
) -> Iterator[int]:
    """So many clients are answered, others refused; yields the port."""
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.bind(("::1" if family == socket.AF_INET6 else "127.0.0.1", 0))
        listener.listen()
        listener.settimeout(5)

        def serve() -> None:
            with contextlib.suppress(TimeoutError):
                for left in reversed(range(clients)):
                    client, _ = listener.accept()
                    if not left:
                        listener.close()
                    with client, contextlib.suppress(OSError):
                        answer(client)

        port = listener.getsockname()[1]
        serving = threading.Thread(target=serve)
        serving.start()
        yield port
        serving.join(timeout=10)


def asked(url: str) -> tuple[int, str]:
    """Exit code and output, as a container's health check sees them."""
    words = [sys.executable, "-IS", str(SCRIPT)]
    done = subprocess.run(
        words, env={"MAILPROBE_HEALTH_URL": url}, capture_output=True, text=True, timeout=20, check=False
    )
    assert done.stderr == ""
    return done.returncode, done.stdout


def saying(*octets: bytes) -> Callable[[socket.socket], None]:
    def answer(client: socket.socket) -> None:
        client.recv(1024)
        for some in octets:
            client.sendall(some)

    return answer


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ((b"HTTP/1.1 200 OK\r\n\r\n",), 0),
        ((b"HTTP/1.", b"1 2", b"00 OK\r", b"\n"), 0),
        ((b"HTTP/1.1 401 Unauthorized\r\n\r\n",), 0),
        ((b"HTTP/1.1 503 Service Unavailable\r\n\r\n 200 ",), 1),
        ((b"HTTP/1.1 404 Not 200 here\r\n\r\n",), 1),
        ((b"SSH-2.0-200 \r\n",), 1),
        ((b"",), 1),
    ],
)
def test_an_answer_is_a_sign_of_life_unless_it_says_otherwise(answer: tuple[bytes, ...], code: int) -> None:
    with listening(saying(*answer)) as port:
        assert asked(f"http://127.0.0.1:{port}/-/healthy")[0] == code


def test_over_ipv6() -> None:
    with listening(saying(b"HTTP/1.1 200 OK\r\n\r\n"), socket.AF_INET6) as port:
        assert asked(f"http://[::1]:{port}/-/healthy")[0] == 0


def test_nobody_answers() -> None:
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unheard.getsockname()[1]}/"
        code, told = asked(url)
    assert code == 1
    assert told.startswith(f"unhealthy: {url}: ")


def silent(client: socket.socket, over: threading.Event) -> None:
    over.wait(15)


def trickling(client: socket.socket, over: threading.Event) -> None:
    while not over.wait(0.05):
        client.sendall(b"x")


@pytest.mark.parametrize("behaviour", [silent, trickling])
def test_a_daemon_that_is_stuck_is_unhealthy_in_time(
    behaviour: Callable[[socket.socket, threading.Event], None],
) -> None:
    over = threading.Event()
    with listening(lambda client: behaviour(client, over)) as port:
        with pytest.raises(TimeoutError):
            ask(f"http://127.0.0.1:{port}/-/healthy", 0.3)
        over.set()


def test_a_line_without_an_end() -> None:
    with listening(saying(b"HTTP/1.1 200 " + b"O" * 5000)) as port:
        assert len(ask(f"http://127.0.0.1:{port}/-/healthy", 5)) <= 2048


def test_one_that_hangs_up_hung_up() -> None:
    """Whatever becomes of the second try."""
    with listening(saying(), clients=2) as port:
        assert asked(f"http://127.0.0.1:{port}/")[1].endswith("/: it hung up without an answer\n")


@pytest.mark.parametrize("url", ["", "9797", "http://", "http://127.0.0.1:http/", "ftp://127.0.0.1/"])
def test_a_url_that_is_none(url: str) -> None:
    code, told = asked(url)
    assert code == 1
    assert told.startswith("unhealthy: ")


@pytest.mark.parametrize("client_certificate", [False, True])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def test_inside_tls(version: ssl.TLSVersion, *, client_certificate: bool) -> None:
    """With a certificate of somebody else, and where the daemon wants one of ours, which we have not; said or not."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = context.maximum_version = version
    authority.issue_cert("mail.example.org").configure_cert(context)
    if client_certificate:
        authority.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED

    def answer(client: socket.socket) -> None:
        with context.wrap_socket(client, server_side=True) as wrapped:
            wrapped.recv(1024)
            wrapped.sendall(b"HTTP/1.1 200 OK\r\n\r\n")

    for scheme, clients in (("https", 1), ("http", 2)):
        with listening(answer, clients=clients) as port:
            code, told = asked(f"{scheme}://127.0.0.1:{port}/-/healthy")
        assert code == 0, told


def test_what_speaks_no_tls_where_tls_is_wanted() -> None:
    with listening(saying(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as port:
        assert asked(f"https://127.0.0.1:{port}/-/healthy")[0] == 1
