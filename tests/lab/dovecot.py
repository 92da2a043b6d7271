"""Dovecot of the pod: its configuration in the syntax of 2.3 and of 2.4, rendered for one lab directory.  Pure.

Both say the same: IMAPS on 993, a twin that wants a PROXY header, another certificate for another name, statistics on
9166, a static set of users, and an authentication socket for Postfix.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from tests.lab.addresses import (
    EXPIRED_NAME,
    METRICS,
    PASSWORD,
    PROXY_TWIN,
    QUOTA_OCTETS,
    QUOTA_POLICY,
    ROUTER_LAN,
    STOCK,
    USER,
    VANTAGE,
)
from tests.lab.certificates import Certificates

TRUSTED = " ".join((ROUTER_LAN.v4, ROUTER_LAN.v6, VANTAGE.v4, VANTAGE.v6))
WHOAMI = "client=%{rip}:%{rport};real=%{real_rip}:%{real_rport}"
WHOAMI24 = "client=%{remote_ip}:%{remote_port};real=%{real_remote_ip}:%{real_remote_port}"


class LoginProcesses(StrEnum):
    """How Dovecot keeps its login processes; its documentation knows the first and the last."""

    DEFAULT = "default"
    """High-security mode as installed: one process per connection, started when the connection is there."""
    READY = "ready"
    """One process per connection, two always waiting."""
    SHARED = "shared"
    """High-performance mode: two processes that serve all connections."""


PROCESS_COUNTS = {
    LoginProcesses.DEFAULT: ("1", 0),
    LoginProcesses.READY: ("1", 2),
    LoginProcesses.SHARED: ("unlimited", 2),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class DovecotSettings:
    """What a lab may choose of its Dovecot."""

    directory: Path
    certificates: Certificates
    log: Path
    mail_ids: tuple[int, int]
    version: tuple[int, ...]
    login_processes: LoginProcesses


def users_file() -> str:
    return f"{USER}:{{PLAIN}}{PASSWORD}\n"


def config(settings: DovecotSettings) -> str:
    return _config24(settings) if settings.version >= (2, 4) else _config23(settings)


def _listeners() -> str:
    return "\n".join(
        [
            "  inet_listener imap {\n    port = 0\n  }",
            *(
                f"  inet_listener {name} {{\n    port = {port}\n    ssl = yes\n    {more}\n  }}"
                for name, port, more in (
                    ("imaps", STOCK["imaps"], ""),
                    ("imaps-proxy", PROXY_TWIN["imaps"], "haproxy = yes"),
                )
            ),
        ]
    )


def _common(settings: DovecotSettings) -> str:
    here = settings.directory
    return f"""
base_dir = {here}/run
state_dir = {here}/state
listen = *, ::
log_path = {settings.log}
ssl = required
auth_mechanisms = plain login
first_valid_uid = 1
haproxy_trusted_networks = {TRUSTED}
service auth {{
  unix_listener {here.parent}/postfix/spool/private/auth {{
    mode = 0666
  }}
}}
service stats {{
  inet_listener http {{
    port = {METRICS}
  }}
}}
service quota-status {{
  executable = quota-status -p postfix
  inet_listener policy {{
    port = {QUOTA_POLICY}
  }}
  client_limit = 1
}}
"""


def _config23(settings: DovecotSettings) -> str:
    uid, gid = settings.mail_ids
    certificate, key = settings.certificates.pair("server")
    old_certificate, old_key = settings.certificates.pair("expired")
    connections, ready = PROCESS_COUNTS[settings.login_processes]
    return f"""{_common(settings)}
protocols = imap
ssl_cert = <{certificate}
ssl_key = <{key}
local_name {EXPIRED_NAME} {{
  ssl_cert = <{old_certificate}
  ssl_key = <{old_key}
}}
imap_id_log = *
mail_location = maildir:{settings.directory.parent}/mail/probe
mail_plugins = quota
plugin {{
  quota = maildir:User quota
  quota_rule = *:bytes={QUOTA_OCTETS}
  quota_status_success = DUNNO
  quota_status_nouser = DUNNO
  # Only listeners that ask the policy service heed the quota: Postfix delivers by itself.
  quota_status_overquota = 552 5.2.2 Mailbox is full
}}
passdb {{
  driver = static
  username_filter = whoami*
  args = nopassword=y nologin=y reason={WHOAMI}
}}
passdb {{
  driver = passwd-file
  args = scheme=PLAIN username_format=%u {settings.directory}/users
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={settings.directory.parent}/mail/home
}}
service imap-login {{
  service_count = {connections.replace("unlimited", "0")}
  process_min_avail = {ready}
  process_limit = 400
{_listeners()}
}}
metric auth_success {{
  filter = event=auth_request_finished AND success=yes
}}
metric auth_failure {{
  filter = event=auth_request_finished AND NOT success=yes
}}
"""


def _config24(settings: DovecotSettings) -> str:
    uid, gid = settings.mail_ids
    certificate, key = settings.certificates.pair("server")
    old_certificate, old_key = settings.certificates.pair("expired")
    connections, ready = PROCESS_COUNTS[settings.login_processes]
    return f"""dovecot_config_version = 2.4.1
dovecot_storage_version = 2.4.1
{_common(settings)}
protocols {{
  imap = yes
}}
ssl_server_cert_file = {certificate}
ssl_server_key_file = {key}
local_name {EXPIRED_NAME} {{
  ssl_server_cert_file = {old_certificate}
  ssl_server_key_file = {old_key}
}}
# imap_id_log is gone in 2.4; the ID command is a debug message of its event.
log_debug = event=imap_id_received
mail_driver = maildir
mail_path = {settings.directory.parent}/mail/probe
mail_plugins {{
  quota = yes
}}
quota user {{
  driver = maildir
  storage_size = {QUOTA_OCTETS}B
  storage_grace = 0
}}
quota_status_overquota = 552 5.2.2 Mailbox is full
passdb whoami {{
  driver = static
  username_filter = whoami*
  fields {{
    nopassword = yes
    nologin = yes
    reason = {WHOAMI24}
  }}
}}
passdb passwd-file {{
  default_password_scheme = plain
  auth_username_format = %{{user}}
  passwd_file_path = {settings.directory}/users
}}
userdb static {{
  fields {{
    uid = {uid}
    gid = {gid}
    home = {settings.directory.parent}/mail/home
  }}
}}
service imap-login {{
  service_restart_request_count = {connections}
  process_min_avail = {ready}
  process_limit = 400
{_listeners()}
}}
metric auth_success {{
  filter = event=auth_request_finished AND success=yes
}}
metric auth_failure {{
  filter = event=auth_request_finished AND NOT success=yes
}}
"""
