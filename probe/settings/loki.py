"""Grafana Loki: a query to read lines with, where to push verdicts to, and as whom it is asked: nobody, a user with a
password, or the bearer of a token.

A token stays in its file, for it is renewed there while the probe runs; a password is read when the file is loaded.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import ValidationInfo, field_validator

from probe.model import Secret
from probe.settings.part import Part, key
from probe.settings.paths import read_password
from probe.settings.values import (
    NO_SECRET,
    FilePath,
    Flag,
    Host,
    LabelName,
    LabelValue,
    Password,
    Text,
    Url,
    unfit,
    without_query,
)

MOST_LABELS = 10

_API = "/loki/api/v1"


class LokiTls(Part):
    """How Loki's certificate is checked, and the probe's own."""

    ca_file: FilePath | None = key(
        default=None,
        description="PEM file of the authorities to trust. Default: the system's.",
        examples=["/etc/ssl/private-ca.pem"],
    )
    verify: Flag = key(default=True, description="Whether the certificate is checked.", examples=[True])
    server_name: Host | None = key(
        default=None,
        description="Name the certificate must carry, and the name sent in SNI. Default: the host of url.",
        examples=["loki.example.org"],
    )
    certificate_file: FilePath | None = key(
        default=None,
        description="PEM file of a certificate to show, where Loki's proxy asks for one.",
        examples=["/etc/mailprobe/loki.crt"],
    )
    key_file: FilePath | None = key(
        default=None,
        description="PEM file of that certificate's key. Default: it is in certificate_file.",
        examples=["/etc/mailprobe/loki.key"],
    )

    @field_validator("key_file")
    @classmethod
    def _of_a_certificate(cls, given: Path | None, info: ValidationInfo) -> Path | None:
        if given is not None and info.data.get("certificate_file", given) is None:
            raise unfit("certificate_file beside it", at="certificate_file", found="nothing")
        return given


class _Loki(Part):
    """Where Loki is."""

    kind: Literal["loki"] = key(description="Grafana Loki.", examples=["loki"])
    url: Url = key(
        description="Base URL of Loki, or of the proxy in front of it, without /loki/api/v1.",
        examples=["http://loki:3100"],
    )

    @field_validator("url")
    @classmethod
    def _is_a_base(cls, given: str) -> str:
        expected = f"the base URL of Loki, without {_API} and what follows it"
        if urlsplit(without_query(given, expected)).path.rstrip("/").endswith(_API):
            raise unfit(expected)
        return given


class LokiAccess(_Loki):
    """Where Loki is, and as whom it is asked."""

    tenant: Text | None = key(
        default=None,
        description="Tenant, sent as X-Scope-OrgID. Needed where Loki runs with auth_enabled.",
        examples=["mail"],
    )
    username: Text | None = key(
        default=None, description="User of basic authentication, with password_file or password.", examples=["probe"]
    )
    password_file: FilePath | None = key(
        default=None,
        description="File that holds the password; one newline at its end does not count. It is read when the "
        "configuration is loaded.",
        examples=["/run/secrets/loki"],
    )
    password: Password = key(
        default=None,
        description="The password out of an environment variable, instead of password_file; never in clear.",
        examples=["${LOKI_PASSWORD}"],
    )
    bearer_token_file: FilePath | None = key(
        default=None,
        description="File that holds a bearer token, instead of username. It is read for every request, so a renewed "
        "token is used at once (of systemd's LoadCredential after a restart: that is a copy).",
        examples=["/var/run/secrets/tokens/loki"],
    )
    tls: LokiTls = key(default={}, description="Certificates, for an https:// url.")

    @field_validator("password")
    @classmethod
    def _of_a_user(cls, given: Secret, info: ValidationInfo) -> Secret:
        if not {"username", "password_file"} <= set(info.data):
            return given
        username, file = info.data["username"], info.data["password_file"]
        if file is not None and given is not NO_SECRET:
            raise unfit("password or password_file, not both", found="both")
        has_password = file is not None or given is not NO_SECRET
        if username is None and has_password:
            raise unfit("the username that the password belongs to", at="username", found="nothing")
        if username is not None and not has_password:
            raise unfit("password_file, or password as ${NAME}", found="nothing")
        return given if file is None else read_password(file)

    @field_validator("bearer_token_file")
    @classmethod
    def _instead_of_a_user(cls, given: Path | None, info: ValidationInfo) -> Path | None:
        if given is not None and info.data.get("username") is not None:
            raise unfit("username or bearer_token_file, not both", found="both")
        return given


class _Query(_Loki):
    """What is asked."""

    query: Text = key(
        description="LogQL log query that selects the mail server's lines.", examples=['{namespace="mailserver"}']
    )


class LokiSource(LokiAccess, _Query):  # in this order the keys are listed as they are written: query after url
    """A query to Grafana Loki."""


class LokiSink(LokiAccess):
    """Where each change of a verdict, and each outage as it begins and ends, is pushed to as one JSON line."""

    labels: dict[LabelName, LabelValue] = key(
        default={},
        description="Labels of every line, beside `job` (mailprobe, unless it is given here), `vantage`, `path`, "
        "`service` and `severity`.",
        examples=[{"cluster": "home"}],
    )

    @field_validator("labels")
    @classmethod
    def _few(cls, given: dict[str, str]) -> dict[str, str]:
        if len(given) > MOST_LABELS:
            raise unfit(f"at most {MOST_LABELS} labels: Loki takes 15 a line", found=f"{len(given)} labels")
        return given
