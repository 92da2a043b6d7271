"""The ways into the mail server: paths, their endpoints, logins and certificates.

A password file is read while its login is validated: a login without a password is no login, and a missing file has to
stop the program with its name before anything else happens.
"""

from __future__ import annotations

import stat
from pathlib import Path

from pydantic import ValidationInfo, field_validator

from probe.model import WHOAMI, ImprintKind, Secret, Service
from probe.settings.part import Part, key
from probe.settings.values import (
    MAIL_ADDRESS,
    NO_SECRET,
    FamilyName,
    FilePath,
    Flag,
    HeaderName,
    Host,
    ImprintName,
    IpAddress,
    MailAddress,
    Password,
    Port,
    Sender,
    ServiceName,
    Text,
    unfit,
)

_SMTP_IMPRINTS = (ImprintKind.FINGERPRINT, ImprintKind.REJECT, ImprintKind.DELIVER, ImprintKind.NONE)
IMPRINTS: dict[Service, tuple[ImprintKind, ...]] = {
    Service.SMTP: _SMTP_IMPRINTS,
    Service.SUBMISSION: _SMTP_IMPRINTS,
    Service.SUBMISSIONS: _SMTP_IMPRINTS,
    Service.IMAPS: (ImprintKind.SESSION, ImprintKind.ID, ImprintKind.LOGIN, ImprintKind.NONE),
}
"""Imprints a service can leave, its default first."""

NOT_NEEDED = Secret("not-needed")
"""What is sent as the password of a whoami user: Dovecot does not look at it."""

_LARGEST_PASSWORD = 4096


class LoginSettings(Part):
    """Credentials of one mailbox, sent only inside TLS. The password comes from a file or the environment."""

    username: Text = key(
        description="Whom to log in as. On imaps a name that begins with `whoami` is a user whom Dovecot refuses with "
        "the client's address (docs/replies.md); it needs no password.",
        examples=["probe@example.org"],
    )
    password_file: FilePath | None = key(
        default=None,
        description="File that holds the password; one newline at its end does not count. It is read when the "
        "configuration is loaded.",
        examples=["/run/secrets/mailprobe"],
    )
    password: Password = key(
        default=None,
        description="The password out of an environment variable, instead of password_file; never in clear.",
        examples=["${MAILPROBE_PASSWORD}"],
    )

    @field_validator("password")
    @classmethod
    def _from_file(cls, given: Secret, info: ValidationInfo) -> Secret:
        if "password_file" not in info.data:
            return given
        file: Path | None = info.data["password_file"]
        if file is None and given is NO_SECRET and info.data.get("username", "").startswith(WHOAMI):
            return NOT_NEEDED
        if file is None and given is NO_SECRET:
            raise unfit("password_file, or password as ${NAME}", found="nothing")
        if file is not None and given is not NO_SECRET:
            raise unfit("password or password_file, not both", found="both")
        return given if file is None else read_password(file)


def read_password(file: Path) -> Secret:
    """Read a password, or say why that file cannot hold one."""
    expected, at = "a readable file that holds a password", "password_file"
    try:
        if not stat.S_ISREG(file.stat().st_mode):
            raise unfit(expected, at=at, reason="no regular file")
        with file.open("rb") as opened:
            text = opened.read(_LARGEST_PASSWORD + 1).decode()
    except OSError as error:
        raise unfit(expected, at=at, reason=error.strerror or "unreadable") from None
    except UnicodeDecodeError:
        raise unfit(expected, at=at, reason="not UTF-8 text") from None
    password = text.removesuffix("\n").removesuffix("\r")
    if not password or len(text) > _LARGEST_PASSWORD:
        raise unfit(expected, at=at, reason="too long" if password else "empty")
    return Secret(password)


class DeliverSettings(Part):
    """Addresses of the message that `imprint: deliver` sends, where the defaults do not fit."""

    recipient: MailAddress | None = key(
        default=None,
        description="The mailbox that the message goes to. Default: the user name of the imaps login on the same path, "
        "where that is a mail address.",
        examples=["probe@example.org"],
    )
    sender: Sender | None = key(
        default=None,
        description="Envelope sender; {token} stands for the session's token. Default: the recipient with +{token} "
        'after its local part. The plain recipient where the server ties senders to logins, "" (the null sender) where '
        "it checks SPF of its own domain.",
        examples=["probe@example.org"],
    )


class EndpointSettings(Part):
    """One service on a path."""

    service: ServiceName = key(
        description="The service by its IANA name: smtp (25, STARTTLS), submission (587, STARTTLS), submissions "
        "(465, TLS first), imaps (993, TLS first).",
        examples=["smtp"],
    )
    port: Port = key(
        default=None,
        description="TCP port. Default: the service's own, 25, 587, 465 or 993.",
        examples=[2525],
    )
    imprint: ImprintName = key(
        default=None,
        description="What a session leaves in the server's logs so that it can be found again. smtp, submission, "
        "submissions: fingerprint (default; command counts), reject (a token in HELO and MAIL FROM of a refused "
        "RCPT), deliver (a message to the probe's own mailbox, read back over the imaps endpoint with a login on the "
        "same path, then deleted), none. imaps: session (default; Dovecot's session id), id (a token in the ID "
        "command), login, none.",
        examples=["session"],
    )
    login: LoginSettings | None = key(
        default=None,
        description="Log in to this endpoint. Without it a session ends before any login.",
        examples=[{"username": "probe@example.org", "password_file": "/run/secrets/mailprobe"}],
    )
    deliver: DeliverSettings | None = key(
        default=None,
        description="Only with imprint: deliver. Who sends and receives its message.",
        examples=[{"recipient": "probe@example.org"}],
    )

    @property
    def logs_in(self) -> bool:
        """Whether a login is due to succeed."""
        return self.login is not None and not self.login.username.startswith(WHOAMI)

    @field_validator("port", mode="before")
    @classmethod
    def _own_port(cls, given: object, info: ValidationInfo) -> object:
        return info.data.get("service", Service.SMTP).default_port if given is None else given

    @field_validator("imprint", mode="before")
    @classmethod
    def _own_imprint(cls, given: object, info: ValidationInfo) -> object:
        return IMPRINTS[info.data.get("service", Service.SMTP)][0] if given is None else given


class TlsSettings(Part):
    """How a path's certificates are checked."""

    server_name: Host | None = key(
        default=None,
        description="Name the certificate must carry, and the name sent in SNI. Default: the path's host.",
        examples=["mail.example.org"],
    )
    ca_file: FilePath | None = key(
        default=None,
        description="PEM file of the authorities to trust. Default: the system's.",
        examples=["/etc/ssl/private-ca.pem"],
    )
    verify: Flag = key(
        default=True, description="Whether a certificate that does not check out fails the session.", examples=[True]
    )


class PathSettings(Part):
    """One way into the mail server: a virtual address, a proxy, a NodePort."""

    name: Text = key(description="Name of the path in reports and metrics, used once.", examples=["vip"])
    host: Host = key(description="Host name or address to connect to, without a port.", examples=["10.0.20.202"])
    address_family: FamilyName = key(
        default="any",
        description="Which addresses of the name count: ipv4, ipv6, or any, the first that resolves.",
        examples=["ipv4"],
    )
    source_address: IpAddress | None = key(
        default=None,
        description="Address of this machine to connect from. Default: the one the routing table chooses.",
        examples=["192.168.1.10"],
    )
    proxy_header: HeaderName = key(
        default="none",
        description="Send a PROXY header first, as the proxy in front of the server would: none, v1 or v2. Only for "
        "a path that leads straight to a listener that wants one.",
        examples=["v2"],
    )
    endpoints: tuple[EndpointSettings, ...] = key(
        min_length=1, description="The services on this path, at least one.", examples=[[{"service": "smtp"}]]
    )
    tls: TlsSettings = key(default={}, description="How the certificates of this path are checked.")

    @property
    def reader(self) -> EndpointSettings | None:
        """Where the messages of `deliver` imprints are read back: the first imaps endpoint with a login."""
        return next((one for one in self.endpoints if one.service is Service.IMAPS and one.logs_in), None)

    def recipient(self, endpoint: EndpointSettings) -> str | None:
        """Whom the message of a `deliver` imprint goes to; None where nothing says so."""
        if endpoint.deliver and endpoint.deliver.recipient:
            return endpoint.deliver.recipient
        user = self.reader.login.username if self.reader and self.reader.login else ""
        return user if MAIL_ADDRESS.fullmatch(user) else None
