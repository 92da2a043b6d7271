"""Postfix of the pod: its configuration, rendered for one lab directory.  Pure.

Rule 1: master.cf is a table of listeners: port, program, syslog_name, what differs from main.cf.
Rule 2: nothing here may ask the network for names; the pod's hosts file is all the DNS there is.
Rule 3: two postscreens never share a cache, or the second one dies waiting for the lock.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.lab.addresses import (
    EXPIRED,
    FIRST_CONTACT,
    FOOTER,
    GREYLIST_POLICY,
    GREYLISTED,
    MAIL_DOMAIN,
    NAMES_ONLY,
    PLAIN_SMTPD,
    PORT_LOGGING,
    PROXY_TWIN,
    QUOTA,
    QUOTA_POLICY,
    RATE_LIMITED,
    REWRITTEN,
    SERVER_NAME,
    STOCK,
    STRIPPED,
    THROTTLED,
    USER,
)
from tests.lab.certificates import Certificates


@dataclass(frozen=True, slots=True, kw_only=True)
class PostfixSettings:
    """What a lab may choose of its Postfix."""

    directory: Path
    certificates: Certificates
    log: Path
    mail_ids: tuple[int, int]
    greet_wait: int = 1
    first_contact_wait: int = 3
    port_logging: bool = False


@dataclass(frozen=True, slots=True)
class Listener:
    """One line of master.cf."""

    port: int
    program: str
    syslog_name: str
    options: tuple[str, ...] = ()

    def line(self) -> str:
        limit = "1" if self.program == "postscreen" else "-"
        options = "".join(f"\n  -o {option}" for option in self._all_options())
        return f"{self.port} inet n - n - {limit} {self.program}{options}"

    def _all_options(self) -> tuple[str, ...]:
        return (f"syslog_name=postfix/{self.syslog_name}", *self.options) if self.syslog_name else self.options


SUBMISSION = (
    "smtpd_tls_security_level=encrypt",
    "smtpd_sasl_auth_enable=yes",
    "smtpd_client_restrictions=permit_sasl_authenticated,reject",
)
WRAPPED = ("smtpd_tls_wrappermode=yes", "smtpd_sasl_auth_enable=yes", SUBMISSION[2])
PROXIED = "smtpd_upstream_proxy_protocol=haproxy"
# One connection per client and hour: whoever connects second is refused, whenever that is.
ONE_CONNECTION = "smtpd_client_connection_rate_limit=1"
VERBOSE = ("smtpd_tls_received_header=yes", "smtpd_sasl_authenticated_header=yes")
ECHO = r"smtpd_reject_footer=\c;client=$client_address:$client_port"
KNOWN_NAMES = "smtpd_client_restrictions=reject_unknown_client_hostname"
# What people do to `Received`, so that nobody reads their users' addresses.
STRIP = "/^Received:/ IGNORE"
REWRITE = r"/^Received: from [^ ]+ \([^)]+\)(.*)/ REPLACE Received: from [127.0.0.1] (localhost [127.0.0.1])$$1"
FLAVOUR = {"smtp": (), "submission": SUBMISSION, "submissions": WRAPPED}
INTERNAL = """
smtpd pass - - n - - smtpd
dnsblog unix - - n - 0 dnsblog
tlsproxy unix - - n - 0 tlsproxy
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
strip unix n - n - 0 cleanup
  -o {{ header_checks = regexp:{{ {{ {strip} }} }} }}
rewrite-received unix n - n - 0 cleanup
  -o {{ header_checks = regexp:{{ {{ {rewrite} }} }} }}
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
error unix - - n - - error
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""


def main_cf(settings: PostfixSettings) -> str:
    here = settings.directory
    certificate, key = settings.certificates.pair("server")
    uid, gid = settings.mail_ids
    return f"""
compatibility_level = 3.6
queue_directory = {here}/spool
data_directory = {here}/data
maillog_file = {settings.log}
maillog_file_prefixes = {settings.log.parent}
myhostname = {SERVER_NAME}
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = all
inet_protocols = all
biff = no
alias_maps =
local_recipient_maps =
smtpd_relay_restrictions = permit_sasl_authenticated, reject_unauth_destination
smtpd_tls_security_level = may
smtpd_tls_auth_only = yes
smtpd_tls_chain_files = {key}, {certificate}
smtpd_sasl_type = dovecot
smtpd_sasl_path = private/auth
smtpd_delay_reject = yes
smtpd_client_port_logging = {"yes" if settings.port_logging else "no"}
anvil_rate_time_unit = 3600s
service_throttle_time = 3600s
postscreen_greet_wait = {settings.greet_wait}s
postscreen_cache_map = btree:{here}/data/postscreen_cache
postscreen_upstream_proxy_timeout = 5s
virtual_mailbox_domains = {MAIL_DOMAIN}
virtual_mailbox_maps = inline:{{ {{ {USER} = probe/ }} }}
recipient_delimiter = +
virtual_mailbox_base = {here.parent}/mail
virtual_minimum_uid = 1
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
"""


def master_cf(settings: PostfixSettings) -> str:
    internal = INTERNAL.format(strip=STRIP, rewrite=REWRITE)
    return "\n".join([*(listener.line() for listener in listeners(settings)), internal])


def listeners(settings: PostfixSettings) -> Iterator[Listener]:
    cache = f"postscreen_cache_map=btree:{settings.directory}/data"
    certificate, key = settings.certificates.pair("expired")
    yield Listener(STOCK["smtp"], "postscreen", "")
    yield Listener(STOCK["submission"], "smtpd", "submission", SUBMISSION)
    yield Listener(STOCK["submissions"], "smtpd", "submissions", WRAPPED)
    yield Listener(
        PROXY_TWIN["smtp"],
        "postscreen",
        "smtpd-proxy25",
        ("postscreen_upstream_proxy_protocol=haproxy", f"{cache}/postscreen_proxy_cache"),
    )
    yield Listener(PROXY_TWIN["submission"], "smtpd", "smtpd-proxy587", (PROXIED, *SUBMISSION))
    yield Listener(PROXY_TWIN["submissions"], "smtpd", "smtpd-proxy465", (PROXIED, *WRAPPED))
    yield Listener(PLAIN_SMTPD, "smtpd", "plain25")
    yield Listener(PORT_LOGGING, "smtpd", "ports25", ("smtpd_client_port_logging=yes",))
    yield Listener(NAMES_ONLY, "smtpd", "names25", (KNOWN_NAMES,))
    # A memory of one second makes every contact a first contact.
    yield Listener(
        FIRST_CONTACT,
        "postscreen",
        "first25",
        (
            f"postscreen_greet_wait={settings.first_contact_wait}s",
            "postscreen_greet_ttl=1s",
            f"{cache}/postscreen_first_cache",
        ),
    )
    for service, options in FLAVOUR.items():
        yield Listener(RATE_LIMITED[service], "smtpd", f"limited-{service}", (ONE_CONNECTION, *options))
        yield Listener(
            EXPIRED[service],
            "smtpd",
            f"expired-{service}",
            (f"smtpd_tls_chain_files={key},{certificate}", *options),
        )
        yield Listener(THROTTLED[service], "smtpd", f"throttled-{service}", (PROXIED, *options))
        yield Listener(FOOTER[service], "smtpd", f"footer-{service}", (ECHO, *VERBOSE, *options))
        for name, twin, policy in (("greylist", GREYLISTED, GREYLIST_POLICY), ("quota", QUOTA, QUOTA_POLICY)):
            asks = f"smtpd_recipient_restrictions=check_policy_service,inet:127.0.0.1:{policy}"
            yield Listener(twin[service], "smtpd", f"{name}-{service}", (asks, *options))
        yield Listener(STRIPPED[service], "smtpd", f"strip-{service}", ("cleanup_service_name=strip", *options))
        rewrites = "cleanup_service_name=rewrite-received"
        yield Listener(REWRITTEN[service], "smtpd", f"rewrite-{service}", (rewrites, *options))
