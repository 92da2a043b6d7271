"""The logs of pods over the Kubernetes API: found by selector, followed through drains, restarts and lost connections.

Rules:
- The pods are listed and then watched; whenever a watch ends, for whatever reason (410 Gone too), they are listed anew.
- A pod that was there at the start is read from then on; one that is created later from its beginning, for its first
  lines count. Times are compared on the server's clock alone.
- Each pod's log has a reader of its own (pod_log.py); all deliver into one queue. It is short: a slow consumer slows
  the readers down, and them the servers; nothing is dropped.
- The same trouble is told once, however many pods have it, until it is over; what comes and goes once in a while.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from probe.evidence.sources.backoff import LONGEST, Backoff
from probe.evidence.sources.pod_log import Around, Patience, PodLog
from probe.evidence.sources.pods import Pod, pod_of
from probe.evidence.sources.source import Health, Lines, State
from probe.evidence.sources.standing import Standing
from probe.kubernetes.ask import NOT_INSTALLED, Access, Ask, Refusal
from probe.kubernetes.objects import number, part, parts, text
from probe.model import Clock
from probe.notices import Once

if TYPE_CHECKING:
    from probe.kubernetes.api import Api

MOST_PODS = 50
MAX_EVENT = 8 << 20
QUEUE = 32
MARGIN = 5.0
"""Seconds: a Date header has whole ones, and the clocks of a cluster's nodes differ a little."""

LASTED = 1.0
"""Seconds after which a watch that ended was a success."""

NOBODY = "nobody"
PATIENCE = Patience()
_GONE = 410


@dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """Whose logs: the pods of a namespace with these labels; of each the named container or its default one."""

    namespace: str
    selector: str
    container: str | None = None

    def __str__(self) -> str:
        return f"{self.namespace}/{self.selector}" + (f"/{self.container}" if self.container else "")


class KubernetesSource:
    """Follows the logs of a selection of pods. See `Source` for the contract of its methods."""

    def __init__(self, selection: Selection, access: Access, *, clock: Clock, patience: Patience = PATIENCE) -> None:
        self._selection = selection
        self._access = access
        self._clock = clock
        self._patience = patience
        self._api: Api | None = None
        self._queue: asyncio.Queue[Lines | Exception | None] = asyncio.Queue(QUEUE)
        self._logs: dict[str, PodLog | None] = {}
        self._left_out: dict[str, Pod] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._troubles: dict[str, Refusal] = {}
        self._started = 0.0
        self._started_there: float | None = None
        self._watching = self._closed = False
        self._once = Once()
        self._standing = Standing(self.name, self._once)

    @property
    def name(self) -> str:
        """Label of its metrics and sightings."""
        return f"kubernetes:{self._selection}"

    @property
    def health(self) -> Health:
        """How it fares now: well if the log of any pod is followed."""
        failures = [trouble.reason for subject, trouble in self._troubles.items() if subject != NOBODY]
        if any(log.state is State.FOLLOWING for log in self._logs.values() if log):
            state, reason = State.FOLLOWING, ""
        elif failures:
            state, reason = State.FAILED, failures[0]
        else:
            state, reason = State.WAITING, self._waits_for()
        return replace(self._standing.health, state=state, reason=reason)

    async def start(self) -> None:
        """Find the pods and stand at the end of their logs."""
        self._started = asyncio.get_running_loop().time()
        version, wait = None, 0.0
        try:
            async with asyncio.timeout(self._patience.start):
                version = await self._stand_at_end()
        except TimeoutError:
            late = f"{self._access}: did not answer in {self._patience.start:g} s; trying again"
            self._trouble("pods", Refusal(late))
        except Refusal as refusal:
            self._trouble("pods", refusal)
            wait = refusal.retry_after
        for uid, log in self._logs.items():
            self._follow(uid, log)
        self._run("", partial(self._keep, version, wait))

    async def follow(self) -> AsyncIterator[Lines]:
        """The lines since `start`, until `close`."""
        while not self._closed:
            arrived = await self._queue.get()
            if arrived is None:
                return
            if isinstance(arrived, Exception):
                raise arrived
            yield self._standing.arrived(arrived.arrival, arrived.text, arrived.stamps)

    def hurry(self, seconds: float) -> None:
        """Streams bring lines as they are written; there is nothing to hurry."""

    async def close(self) -> None:
        """Stop every reader."""
        self._closed = True
        for task in (tasks := tuple(self._tasks.values())):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._api:
            await self._api.close()
        while not self._queue.empty():
            self._queue.get_nowait()
        self._queue.put_nowait(None)

    # Which pods there are

    async def _stand_at_end(self) -> str:
        """Position all readers; the version of the list of pods, from which on to watch."""
        version = await self._list(follow=False)
        there = [log for log in self._logs.values() if log and log.pod.ran]
        found = await asyncio.gather(*(log.stand_at_end() for log in there), return_exceptions=True)
        for problem in found:
            if isinstance(problem, BaseException) and not isinstance(problem, Refusal | TimeoutError):
                raise problem
        return version

    async def _keep(self, version: str | None, wait: float) -> None:
        """List and watch the pods for good, from `version` of their list on, after so many seconds."""
        loop = asyncio.get_running_loop()
        backoff = Backoff(first=self._patience.first, most=self._patience.most)
        while True:
            await asyncio.sleep(min(LONGEST, wait))
            began, wait = loop.time(), 0.0
            try:
                version = version or await self._list()
                await self._watch(version)
            except TimeoutError:
                pass
            except Refusal as refusal:
                wait = refusal.retry_after
                if refusal.code != _GONE and not self._watching and (refusal.code or backoff.failures):
                    self._trouble("watch" if version else "pods", refusal)
            if self._watching and loop.time() - began >= LASTED:
                backoff.succeeded()
            version, self._watching = None, False
            wait = backoff.failed(at_least=wait)
            for uid in [uid for uid, log in self._logs.items() if uid not in self._tasks and log and log.gone]:
                del self._logs[uid]

    async def _list(self, *, follow: bool = True) -> str:
        """Bring the readers up to date with the pods there are.

        An answer may come late: it tells of the end of those pods alone that were known when it was asked for.
        """
        known = self._logs.keys() | self._left_out.keys()
        said = await self._connected().read(self._ask("list"))
        if "items" not in said or not (version := text(part(said, "metadata"), "resourceVersion")):
            raise Refusal(f"{self._access}: the answer is no list of pods: is `server` in the kubeconfig right?")
        self._trouble("pods", None)
        if self._started_there is None and self._api:
            self._started_there = self._api.server_time(self._started)
        pods = [pod for one in parts(said, "items") if (pod := pod_of(one, self._selection.container))]
        for pod in pods:
            self._note(pod, follow=follow)
        gone = known - {pod.uid for pod in pods}
        self._left_out = {uid: pod for uid, pod in self._left_out.items() if uid not in gone}
        for uid in self._logs.keys() & gone:
            self._vanished(uid)
        wanted = f"namespace {self._selection.namespace} matches {self._selection.selector}"
        nobody = Refusal(f"no pod in {wanted}: waiting for one; check the selector")
        self._trouble(NOBODY, None if pods or self._logs.keys() - known else nobody)
        return version

    def _vanished(self, uid: str) -> None:
        if log := self._logs[uid]:
            log.vanish()
        else:
            del self._logs[uid]
            self._trouble(uid, None)
        self._admit()

    async def _watch(self, version: str) -> None:
        """Follow the changes of the pods until the server ends it."""
        seconds = max(1, round(self._patience.watch))
        ask = self._ask("watch", watch="true", resourceVersion=version, timeoutSeconds=str(seconds))
        async with asyncio.timeout(self._patience.watch * 1.25), self._connected().stream(ask) as chunks:
            self._watching = True
            self._trouble("watch", None)
            held = b""
            async for chunk in chunks:
                *events, held = (held + chunk).split(b"\n")
                for event in filter(None, events):
                    self._changed(self._connected().json_object(event, ask))
                if len(held) > MAX_EVENT:
                    raise Refusal(f"{self._access}: {ask}: an event is longer than {MAX_EVENT >> 20} MiB")

    def _changed(self, event: dict[str, Any]) -> None:
        """One event of the watch."""
        kind, said = text(event, "type"), part(event, "object")
        if kind == "ERROR":
            code = number(said, "code")
            message = self._connected().plain(text(said, "message"))
            raise Refusal(f"{self._access}: watch pods: {code}: {message}", code=code, kind=f"{code} watch pods")
        pod = pod_of(said, self._selection.container)
        if pod is None:
            return
        if kind == "DELETED":
            self._left_out.pop(pod.uid, None)
            if pod.uid in self._logs:
                self._vanished(pod.uid)
        elif kind in ("ADDED", "MODIFIED"):
            self._trouble(NOBODY, None)
            self._note(pod)

    def _note(self, pod: Pod, *, follow: bool = True) -> None:
        """A pod as it is now: its reader is told, or made."""
        if pod.uid in self._logs:
            if log := self._logs[pod.uid]:
                log.update(pod)
            return
        if self._is_wanted(pod) and self._read_now() >= MOST_PODS:
            self._leave_out(pod)
            return
        self._left_out.pop(pod.uid, None)
        self._logs[pod.uid] = log = self._new_log(pod)
        if follow:
            self._follow(pod.uid, log)

    def _read_now(self) -> int:
        return sum(log is not None and not (log.gone or log.ended) for log in self._logs.values())

    def _leave_out(self, pod: Pod) -> None:
        """A pod too many: it is read when another one is done."""
        if pod.uid not in self._left_out:
            many = f"more than {MOST_PODS} pods match, and {pod.name} is not read yet"
            self._standing.gap(many, "narrow the selector", kind="more pods")
        self._left_out[pod.uid] = pod

    def _admit(self) -> None:
        """There may be room again."""
        for pod in tuple(self._left_out.values()):
            self._note(pod)

    def _begin(self) -> float | None:
        return self._started_there - MARGIN if self._started_there is not None else None

    def _is_old(self, pod: Pod) -> bool:
        """True for a pod of which earlier lines than those from the start on may be there."""
        return (begin := self._begin()) is None or pod.created < begin

    def _is_wanted(self, pod: Pod) -> bool:
        return pod.container is not None and not (self._is_old(pod) and pod.over)

    def _new_log(self, pod: Pod) -> PodLog | None:
        """Its reader; none for a pod that has nothing to say, or not what is wanted."""
        if self._is_old(pod) and pod.over:
            return None
        if pod.container is None:
            reason = f"pod {pod.name} has no container {self._selection.container}; it has {', '.join(pod.containers)}"
            self._trouble(pod.uid, Refusal(f"{reason}: correct `container` of the source"))
            return None
        return PodLog(pod, self._around(), since=self._begin() if self._is_old(pod) and pod.ran else None)

    def _around(self) -> Around:
        return Around(
            api=self._connected(),
            namespace=self._selection.namespace,
            patience=self._patience,
            clock=self._clock,
            deliver=self._queue.put,
            look_again=self._look_again,
            trouble=self._trouble,
            gap=self._standing.gap,
            cut=self._standing.cut,
        )

    async def _look_again(self) -> None:
        await self._list()

    # The tasks

    def _follow(self, uid: str, log: PodLog | None) -> None:
        if log and uid not in self._tasks:
            self._run(uid, log.follow)

    def _run(self, subject: str, work: Callable[[], Awaitable[None]]) -> None:
        async def watched() -> None:
            try:
                await work()
                self._admit()
            except Exception as bug:
                await self._queue.put(bug)
            finally:
                self._tasks.pop(subject, None)
                for key in (subject, f"{subject} text"):
                    self._troubles.pop(key, None)

        self._tasks[subject] = asyncio.create_task(watched())

    def _connected(self) -> Api:
        if self._api is None:
            try:
                from probe.kubernetes.api import Api  # noqa: PLC0415 - lightkube is an extra
            except ImportError:
                raise Refusal(NOT_INSTALLED) from None
            self._api = Api(self._access, answer=self._patience.start)
        return self._api

    def _ask(self, verb: str, **params: str) -> Ask:
        labels = {"labelSelector": self._selection.selector}
        return Ask(verb=verb, resource="pods", namespace=self._selection.namespace, params=labels | params)

    # What is said about it

    def _waits_for(self) -> str:
        if nobody := self._troubles.get(NOBODY):
            return nobody.reason
        names = [log.pod.name for uid, log in self._logs.items() if log and uid in self._tasks]
        return f"waiting for the first line of {', '.join(names[:3])}" if names else "no pod is running"

    def _trouble(self, subject: str, refusal: Refusal | None) -> None:
        """Keep what is wrong with what; say it if nobody has yet."""
        if refusal is None:
            self._troubles.pop(subject, None)
            return
        said = {trouble.kind for trouble in self._troubles.values()}
        if (known := self._troubles.get(subject)) is None or known.kind != refusal.kind:
            self._troubles[subject] = refusal
        if refusal.kind not in said:
            self._once.warn("pod logs cannot be read", kind=refusal.kind, source=self.name, reason=refusal.reason)
