"""A cluster's API on loopback: HTTPS, bearer token, access rules, lists, watches and pod logs, as the real one speaks.

What it keeps to, because clients trip over it:
- A refusal is a Status object; a page that is not there at all is plain text.
- The header of a followed log is sent with its first line, and not before.
- `sinceTime` counts whole seconds, whatever was sent, and keeps lines from that second on.
- Bytes are sent in chunks that end anywhere; `break_off` ends streams in the middle of one, as a lost connection does.
"""

from __future__ import annotations

import asyncio
import base64
import json
import random
import re
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import formatdate
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import trustme
import yaml

from tests.kubernetes import rbac
from tests.kubernetes.cluster import NAMESPACE, Cluster, Pod, Run, nano
from tests.kubernetes.rbac import Rule

_WAITING = 'container "{container}" in pod "{pod}" is waiting to start: ContainerCreating'
_NO_PREVIOUS = 'previous terminated container "{container}" in pod "{pod}" not found'


@dataclass(frozen=True, kw_only=True)
class Answer:
    """An answer that a test puts in place of the real one; `cut`: the connection ends with it."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False


class Refused(Exception):
    """A Status object."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
        self.answer = Answer(
            status=code,
            body=json.dumps(status | {"message": message, "reason": reason, "code": code}).encode(),
            headers={"Content-Type": "application/json"},
        )


class Connection:
    """One client connection; answers go out in chunks that end anywhere."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, api: KubernetesApi) -> None:
        self.reader = reader
        self.writer = writer
        self.api = api
        self.streaming = False
        self.ending = asyncio.Event()

    async def begin(self, content_type: str) -> None:
        if not self.streaming:
            self.streaming = True
            head = f"HTTP/1.1 200 OK\r\nDate: {self.api.date()}\r\nContent-Type: {content_type}\r\n"
            self.writer.write(head.encode() + b"Transfer-Encoding: chunked\r\n\r\n")

    async def send(self, text: bytes) -> None:
        while text:
            size = self.api.chance.choice((1, 7, 50, 400, 4000, 40000))
            piece, text = text[:size], text[size:]
            self.writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            await self.writer.drain()

    async def end(self) -> None:
        self.writer.write(b"0\r\n\r\n")
        self.streaming = False
        await self.writer.drain()

    async def answer(self, answer: Answer) -> None:
        phrase = HTTPStatus(answer.status).phrase
        headers = {"Date": self.api.date(), "Content-Length": str(len(answer.body))} | answer.headers
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self.writer.write(f"HTTP/1.1 {answer.status} {phrase}\r\n{head}\r\n".encode() + answer.body)
        await self.writer.drain()


class KubernetesApi:
    """The server. `replace` maps a pattern of request targets to answers of a test's own.

    `held`: the next list of pods tells of now, and arrives once this is set.
    """

    def __init__(self, cluster: Cluster, *, rules: set[Rule] | None = None, seed: int = 0) -> None:
        self.cluster = cluster
        self.rules = rbac.documented() if rules is None else rules
        self.token = "tok-1"
        self.asked: list[str] = []
        self.replace: dict[str, Answer] = {}
        self.held: asyncio.Event | None = None
        self.chance = random.Random(seed)
        self.port = 0
        self._connections: set[Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._accepted: set[socket.socket] = set()
        self._listener: socket.socket | None = None
        self._authority = trustme.CA()
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._authority.issue_cert("127.0.0.1").configure_cert(self._context)

    async def start(self) -> None:
        """Listen; after a stop on the same port again."""
        self._listener = socket.create_server(("127.0.0.1", self.port), backlog=100)
        self._listener.settimeout(0)
        self.port = self._listener.getsockname()[1]
        asyncio.get_running_loop().add_reader(self._listener, self._accept, self._listener)

    async def stop(self) -> None:
        """The API server goes away, all connections with it."""
        if self._listener:
            asyncio.get_running_loop().remove_reader(self._listener)
            self._listener.close()
            self._listener = None
        for task in (tasks := tuple(self._tasks)):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for accepted in self._accepted:
            accepted.close()  # its task was cancelled before it ran
        self._accepted.clear()

    def break_off(self) -> None:
        """Every connection breaks, in the middle of whatever it carries."""
        for connection in tuple(self._connections):
            connection.writer.transport.abort()

    def end_streams(self) -> None:
        """Every stream ends as if its answer were complete."""
        for connection in tuple(self._connections):
            connection.ending.set()
        self.cluster.touch()

    def kubeconfig(self, folder: Path, token: str | None = None) -> Path:
        """A kubeconfig file for this server."""
        authority = base64.b64encode(self._authority.cert_pem.bytes()).decode()
        server = {"server": f"https://127.0.0.1:{self.port}", "certificate-authority-data": authority}
        user = {"token": self.token if token is None else token}
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "lab",
            "clusters": [{"name": "lab", "cluster": server}],
            "users": [{"name": "probe", "user": user}],
            "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "probe", "namespace": "default"}}],
        }
        file = folder / "kubeconfig"
        file.write_text(yaml.safe_dump(content))
        return file

    def date(self) -> str:
        return formatdate(self.cluster.now(), usegmt=True)

    # One connection

    def _accept(self, listener: socket.socket) -> None:
        accepted, _ = listener.accept()
        accepted.settimeout(0)
        self._accepted.add(accepted)
        task = asyncio.ensure_future(self._serve(accepted))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, accepted: socket.socket) -> None:
        self._accepted.discard(accepted)
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(reader)
        with suppress(OSError, asyncio.IncompleteReadError):
            transport, _ = await loop.connect_accepted_socket(lambda: protocol, accepted, ssl=self._context)
            connection = Connection(reader, asyncio.StreamWriter(transport, protocol, reader, loop), self)
            self._connections.add(connection)
            try:
                while head := await reader.readuntil(b"\r\n\r\n"):
                    await self._respond(head.decode(), connection)
            finally:
                self._connections.discard(connection)
                transport.abort()

    async def _respond(self, head: str, connection: Connection) -> None:
        target = head.split(" ", 2)[1]
        self.asked.append(unquote(target))
        connection.ending.clear()
        try:
            placed = next((answer for pattern, answer in self.replace.items() if re.search(pattern, target)), None)
            if placed:
                await connection.answer(placed)
                if placed.cut:
                    connection.writer.close()
                return
            if f"authorization: bearer {self.token}\r\n" not in head.lower():
                raise Refused(401, "Unauthorized", "Unauthorized")
            await self._route(target, connection)
        except Refused as refused:
            await connection.answer(refused.answer)

    async def _route(self, target: str, connection: Connection) -> None:
        url = urlsplit(target)
        query = {name: values[0] for name, values in parse_qs(url.query, keep_blank_values=True).items()}
        parts = [unquote(part) for part in url.path.strip("/").split("/")]
        group, rest = ("", parts[2:]) if parts[0] == "api" else (parts[1], parts[3:])
        namespace, rest = (rest[1], rest[2:]) if rest[0] == "namespaces" and len(rest) > 2 else ("", rest)
        resource, name = "/".join([rest[0], *rest[2:]]), rest[1] if len(rest) > 1 else ""
        verb = "get" if name else "watch" if query.get("watch") == "true" else "list"
        self._authorise(Rule(verb, group, resource, namespace, name))
        if resource == "pods/log":
            await self._log(name, query, connection)
        elif resource == "pods" and verb == "watch":
            await self._watch(query, connection)
        elif resource == "pods":
            pods = [pod.said(self.cluster.version) for pod in self.cluster.pods.values() if _selected(pod, query)]
            listed, held, self.held = self._listed(pods), self.held, None
            if held:
                await held.wait()
            await connection.answer(listed)
        else:
            labels = query.get("labelSelector", "")
            await connection.answer(self._object(group, resource, (namespace, name), labels))

    def _authorise(self, rule: Rule) -> None:
        if any(known.allows(rule) for known in self.rules):
            return
        scope = f'in the namespace "{rule.namespace}"' if rule.namespace else "at the cluster scope"
        raise Refused(
            403,
            "Forbidden",
            f'{rule.resource.partition("/")[0]} is forbidden: User "{rbac.USER}" cannot {rule.verb} resource '
            f'"{rule.resource}" in API group "{rule.group}" {scope}',
        )

    def _listed(self, items: list[dict[str, Any]]) -> Answer:
        said = {"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": str(self.cluster.version)}}
        return Answer(body=json.dumps(said | {"items": items}).encode(), headers={"Content-Type": "application/json"})

    def _object(self, group: str, resource: str, whose: tuple[str, str], labels: str) -> Answer:
        namespace, name = whose
        held = self.cluster.objects.get((group, resource))
        if held is None:
            return Answer(status=404, body=b"404 page not found\n", headers={"Content-Type": "text/plain"})
        here = [one for one in held if not namespace or one["metadata"].get("namespace") == namespace]
        if not name:
            return self._listed([one for one in here if _matches(one["metadata"].get("labels", {}), labels)])
        found = next((one for one in here if one["metadata"]["name"] == name), None)
        if found is None:
            raise Refused(404, "NotFound", f'{resource} "{name}" not found')
        return Answer(body=json.dumps(found).encode(), headers={"Content-Type": "application/json"})

    # Streams

    async def _watch(self, query: dict[str, str], connection: Connection) -> None:
        version = int(query["resourceVersion"])
        until = asyncio.get_running_loop().time() + int(query["timeoutSeconds"])
        await connection.begin("application/json")
        if version < self.cluster.compacted:
            gone = Refused(410, "Expired", f"too old resource version: {version} ({self.cluster.compacted})")
            event = b'{"type":"ERROR","object":%b}\n' % gone.answer.body
            await connection.send(event)
            await connection.end()
            return
        while not connection.ending.is_set():
            for number, kind, said in [one for one in self.cluster.events if one[0] > version]:
                version = number
                if _matches(said["metadata"]["labels"], query.get("labelSelector", "")):
                    await connection.send(json.dumps({"type": kind, "object": said}).encode() + b"\n")
            if not await _changed(self.cluster, until):
                break
        await connection.end()

    async def _log(self, name: str, query: dict[str, str], connection: Connection) -> None:
        run = self._run_of(name, query)
        since = _nanoseconds(query["sinceTime"]) if "sinceTime" in query else 0
        at = run.file
        if "tailLines" in query:
            at = max(at, len(run.lines) - int(query["tailLines"]))
        follow = query.get("follow") == "true"
        while True:
            ended = connection.ending.is_set() or not (follow and run.running)
            new = [nano(stamp) + b" " + text + b"\n" for stamp, text in run.lines[at:] if stamp >= since]
            at = len(run.lines)
            if new or ended:
                await connection.begin("text/plain")
                await connection.send(b"".join(new))
            if ended:
                break
            await _change_or_hangup(self.cluster, connection)
        await connection.end()

    def _run_of(self, name: str, query: dict[str, str]) -> Run:
        """Which log the kubelet reads; its refusals come through as Bad Request."""
        pod, container = self.cluster.pods.get(name), query.get("container", "")
        if pod is None:
            raise Refused(404, "NotFound", f'pods "{name}" not found')
        if container not in pod.runs:
            raise Refused(400, "BadRequest", f"container {container} is not valid for pod {name}")
        runs = pod.runs[container]
        if query.get("previous") == "true":
            if len(runs) < 2:
                raise Refused(400, "BadRequest", _NO_PREVIOUS.format(container=container, pod=name))
            return runs[-2]
        if not runs:
            raise Refused(400, "BadRequest", _WAITING.format(container=container, pod=name))
        return runs[-1]


async def _change_or_hangup(cluster: Cluster, connection: Connection) -> None:
    waits = [asyncio.ensure_future(wait) for wait in (cluster.change(), connection.reader.read(1))]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        if waits[1].done():
            raise ConnectionResetError("the client hung up")
    finally:
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)


async def _changed(cluster: Cluster, until: float) -> bool:
    try:
        async with asyncio.timeout_at(until):
            await cluster.change()
    except TimeoutError:
        return False
    return True


def _selected(pod: Pod, query: dict[str, str]) -> bool:
    return _matches(pod.labels, query.get("labelSelector", ""))


def _matches(labels: dict[str, str], selector: str) -> bool:
    """Equality-based selectors; anything else is refused as the API refuses what it cannot parse."""
    for term in filter(None, selector.split(",")):
        found = re.fullmatch(r"([\w./-]+)(?:(!=|==?)([\w.-]*))?", term)
        if not found:
            raise Refused(400, "BadRequest", f'unable to parse requirement: found \'{term}\', expected: "in", "="')
        name, sign, value = found.groups()
        held = labels.get(name)
        if held is None if sign is None else (held == value) == (sign == "!="):
            return False
    return True


def _nanoseconds(text: str) -> int:
    moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return int(moment.astimezone(UTC).timestamp()) * 10**9


@asynccontextmanager
async def serving(cluster: Cluster, **options: Any) -> AsyncIterator[KubernetesApi]:
    """The API of a cluster, for the length of the block."""
    api = KubernetesApi(cluster, **options)
    await api.start()
    try:
        yield api
    finally:
        await api.stop()


__all__ = ["NAMESPACE", "Answer", "KubernetesApi", "serving"]
