"""What is asked of a Kubernetes API, in the words of its access rules, and how it can be refused.

Rules:
- An Ask names verb, resource and namespace as a Role does, so that a refusal can name the rule that is missing.
- A Refusal is for a person: what happened, where, and the next step. `code` is the HTTP status, if there was one.
- Nothing here is imported from lightkube: the words are there when it is not installed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from probe.model import as_written

NOT_INSTALLED = "the Kubernetes client is not installed: pip install '.[kubernetes]' in mailprobe's checkout"


@dataclass(frozen=True, kw_only=True, slots=True)
class Access:
    """Which cluster, and as whom. Without a kubeconfig: the pod's own account, $KUBECONFIG, or ~/.kube/config."""

    kubeconfig: Path | None = None
    context: str | None = None

    def __str__(self) -> str:
        if not self.kubeconfig:
            return "the Kubernetes API"
        return f"the Kubernetes API of {as_written(self.kubeconfig)}" + (f" ({self.context})" if self.context else "")


@dataclass(frozen=True, kw_only=True, slots=True)
class Ask:
    """One request. `name` is the object's where one is asked for; `resource` may have a subresource: `pods/log`."""

    verb: str
    resource: str
    group: str = ""
    version: str = "v1"
    namespace: str = ""
    name: str = ""
    params: Mapping[str, str] = field(default_factory=dict)

    @property
    def path(self) -> str:
        """Where the API has it.

        >>> Ask(verb="get", resource="pods/log", namespace="mail", name="mail-0").path
        '/api/v1/namespaces/mail/pods/mail-0/log'
        >>> Ask(verb="list", resource="endpointslices", group="discovery.k8s.io", namespace="mail").path
        '/apis/discovery.k8s.io/v1/namespaces/mail/endpointslices'
        """
        base = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        resource, _, subresource = self.resource.partition("/")
        parts = ["namespaces", self.namespace] if self.namespace else []
        parts += [part for part in (resource, self.name, subresource) if part]
        return "/".join([base, *(quote(part, safe="") for part in parts)])

    def __str__(self) -> str:
        where = f" in namespace {self.namespace}" if self.namespace else ""
        return f"{self.verb} {self.resource}{'.' + self.group if self.group else ''}{where}"


class Refusal(Exception):
    """The API did not do what it was asked for; `retry_after` is what it wants to be left alone for, in seconds.

    Refusals of one `kind` are one trouble, however differently they read; by default each reason is a kind.
    """

    def __init__(self, reason: str, *, code: int | None = None, retry_after: float = 0.0, kind: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.code = code
        self.retry_after = retry_after
        self.kind = kind or reason

    def of(self, whose: str) -> Refusal:
        """The same, said of something."""
        kind = "" if self.kind == self.reason else self.kind
        return Refusal(f"{whose}: {self.reason}", code=self.code, retry_after=self.retry_after, kind=kind)
