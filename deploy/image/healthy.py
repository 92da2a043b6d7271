#!/opt/mailprobe/bin/python -IS
"""The image's health check: does the daemon's event loop turn?

$MAILPROBE_HEALTH_URL says where to ask, default http://127.0.0.1:9797/-/healthy. Exit code 0: it answered; else 1.

- A daemon that refuses us (401, or our want of a TLS certificate) is alive: it answered.
- TLS hangs up on a request in plain words, so it is then asked in TLS: nobody has to say which it is.
- The configuration is not asked where the daemon listens: a file that the daemon did not take must not kill it.
- Nothing but the standard library's smallest modules: this is a process of its own, twice a minute.
"""

import os
import re
import socket
import sys
import time

URL = "http://127.0.0.1:9797/-/healthy"
PORTS = {"http": 80, "https": 443}
SECONDS = 4.0
LONGEST = 1024
ALIVE = re.compile(rb"HTTP/1\.[01] (200|401|403)( |$)|TLS ")


def main() -> int:
    """Ask once and tell."""
    url = os.environ.get("MAILPROBE_HEALTH_URL", URL)
    try:
        answer = ask(url, SECONDS)
    except (OSError, ValueError) as error:
        print(f"unhealthy: {url}: {error or type(error).__name__}")
        return 1
    alive = ALIVE.match(answer) is not None
    print(f"{'healthy' if alive else 'unhealthy'}: {url}: {answer.decode('ascii', 'replace')}")
    return 0 if alive else 1


def ask(url: str, seconds: float) -> bytes:
    """The first line of the answer. Raises OSError where none comes in that time, ValueError for a URL that is none."""
    deadline = time.monotonic() + seconds
    scheme, _, rest = url.partition("://")
    place, slash, path = rest.partition("/")
    if scheme not in PORTS or not place:
        raise ValueError("not a URL such as http://127.0.0.1:9797/-/healthy")
    host, port = split(place, PORTS[scheme])
    request = f"GET {slash or '/'}{path} HTTP/1.0\r\nHost: {place}\r\n\r\n".encode()
    with socket.create_connection((host, port), seconds) as connection:
        if scheme == "https":
            return told_in_tls(connection, request, deadline)
        try:
            return told(connection, request, deadline)
        except ConnectionError as error:
            hung_up = error
    try:
        with socket.create_connection((host, port), max(deadline - time.monotonic(), 0.1)) as connection:
            return told_in_tls(connection, request, deadline)
    except OSError:
        raise hung_up from None


def split(place: str, usual: int) -> tuple[str, int]:
    """Host and port of the authority in a URL; ValueError if the port is no number."""
    host, colon, port = place.rpartition(":")
    if not colon or place.endswith("]"):
        return place.strip("[]"), usual
    return host.strip("[]"), int(port)


def told(connection: socket.socket, request: bytes, deadline: float) -> bytes:
    """The first line that the request gets, or as much as LONGEST of it; OSError if the other side says nothing."""
    connection.sendall(request)
    line = b""
    while b"\n" not in line and len(line) < LONGEST:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        connection.settimeout(left)
        octets = connection.recv(LONGEST)
        if not octets:
            raise ConnectionError("it hung up without an answer")
        line += octets
    return line.partition(b"\n")[0].rstrip(b"\r")


def told_in_tls(connection: socket.socket, request: bytes, deadline: float) -> bytes:
    """The same inside TLS. Whose certificate it is does not matter to a sign of life, and a handshake is one."""
    import ssl

    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        wrapped = context.wrap_socket(connection)
    except ssl.SSLError as error:
        if "ALERT" not in (error.reason or ""):
            raise
        return f"TLS refused: {error.reason}".encode()
    with wrapped:
        try:
            return told(wrapped, request, deadline)
        except (ssl.SSLError, ConnectionError) as error:
            return f"TLS handshake done, then: {error}".encode()


if __name__ == "__main__":
    sys.exit(main())
