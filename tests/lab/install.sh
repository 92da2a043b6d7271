#!/bin/sh
# Installs what the lab needs: the servers of this machine's distribution, and Debian 13's in a root of their own; the
# programs that read metrics, for the tests of those; and what builds and runs the image, on a base made of that root.
#
# Rule 1: nothing that is installed here starts; a policy-rc.d of ours forbids it, and is gone again afterwards.
# Rule 2: idempotent.  What is there is left alone, and the root appears whole or not at all.
# Rule 3: what could not be done is said in plain words.
# Rule 4: cloud-init is unpacked and never installed, for it would set this machine up anew when it boots.
#
# Exit code: 0 the lab is usable (perhaps with one generation only), 3 it is not.
# MAILPROBE_LAB_CACHE: where the root goes, default /var/cache/mailprobe-lab/trixie.

set -u
export DEBIAN_FRONTEND=noninteractive

CACHE=${MAILPROBE_LAB_CACHE:-/var/cache/mailprobe-lab/trixie}
TOOLS="iproute2 iptables conntrack haproxy openssl util-linux procps debootstrap logrotate systemd-journal-remote rsyslog curl python3-venv"
SERVERS="postfix dovecot-core dovecot-imapd"
BROWSER="chromium"
READERS="prometheus prometheus-alertmanager prometheus-pushgateway prometheus-node-exporter prometheus-blackbox-exporter"
CONTAINERS="podman runc"
POLICY=/usr/sbin/policy-rc.d
left_out=""
guard=""
unfinished=""

note() { left_out="$left_out
  - $1"; }

finish() {
  [ -z "$guard" ] || rm -f "$POLICY"
  [ -z "$unfinished" ] || rm -rf "$unfinished"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

unusable() {
  echo "The lab cannot be used here: $1" >&2
  exit 3
}

installed() { dpkg-query -W -f='${Status}' "$1" 2>/dev/null | grep -q 'ok installed'; }

missing() {
  for package in "$@"; do installed "$package" || printf '%s ' "$package"; done
}

forbid_services() {
  # Somebody else's policy stays; ours goes in finish.
  [ -e "$POLICY" ] && return
  guard=yes
  printf '#!/bin/sh\nexit 101\n' >"$POLICY"
  chmod 755 "$POLICY"
}

install_packages() {
  wanted=$(missing $TOOLS $SERVERS $READERS $CONTAINERS)
  [ -n "$wanted" ] || return 0
  forbid_services
  echo "Installing: $wanted"

  # shellcheck disable=SC2086  # a list of words
  apt-get install -y -q --no-install-recommends $wanted >/dev/null 2>&1 && return 0
  apt-get update -q >/dev/null 2>&1
  # shellcheck disable=SC2086
  apt-get install -y -q --no-install-recommends $wanted
}

install_browser() {
  [ -n "$(missing $BROWSER)" ] || return 0
  echo "Installing: $BROWSER"
  apt-get install -y -q --no-install-recommends $BROWSER >/dev/null 2>&1 && return 0
  apt-get update -q >/dev/null 2>&1
  apt-get install -y -q --no-install-recommends $BROWSER >/dev/null
}

# Of cloud-init only its schema is wanted.
fetch_cloud_init() {
  place=$(dirname "$CACHE")/cloud-init
  [ -d "$place/usr" ] && return 0
  mkdir -p "$(dirname "$CACHE")"
  unfinished=$(mktemp -d "$(dirname "$CACHE")/unfinished.XXXXXX")
  (
    cd "$unfinished" || exit 1
    apt-get download -q cloud-init >/dev/null 2>&1 || { apt-get update -q && apt-get download -q cloud-init; } >/dev/null 2>&1
    dpkg -x cloud-init_*.deb whole && rm cloud-init_*.deb
  ) && mv "$unfinished/whole" "$place"
  rm -rf "$unfinished"
  unfinished=""
  [ -d "$place/usr" ]
}

# The mirror this machine's Debian comes from; empty elsewhere, which debootstrap takes for its own default.
debian_mirror() {
  . /etc/os-release
  [ "${ID:-}" = debian ] || return 0
  apt-get indextargets --format '$(SITE)' 'Created-By: Packages' 'Origin: Debian' 'Label: Debian' 2>/dev/null | head -n 1
}

# Debian 13's promtool and amtool, which run on this machine as they are: alerts must work with old and new.
unpack_newer_readers() {
  here=$(dirname "$CACHE")/prometheus
  [ -x "$here/usr/bin/promtool" ] && [ -x "$here/usr/bin/amtool" ] && return 0
  [ -d "$CACHE/var/lib/apt/lists" ] || return 0
  unpacked=$(mktemp -d "$(dirname "$CACHE")/unpacked.XXXXXX")
  log=$(mktemp)
  echo "Fetching Debian 13's promtool and amtool"
  if (cd "$unpacked" && from_root update && from_root download promtool prometheus-alertmanager &&
      for package in *.deb; do dpkg-deb -x "$package" "$unpacked"; done && rm -f ./*.deb) >"$log" 2>&1; then
    chmod 755 "$unpacked" && rm -rf "$here" && mv "$unpacked" "$here"
  else
    note "Debian 13's promtool and amtool: $(tail -n 1 "$log")"
    rm -rf "$unpacked"
  fi
  rm -f "$log"
}

# apt-get with the sources of the root, and nothing of this machine's; keys are the same archive's.
from_root() {
  apt-get -q -o Dir::Etc::sourcelist="$CACHE/etc/apt/sources.list" -o Dir::Etc::sourceparts=/dev/null \
    -o Dir::Etc::trustedparts="$CACHE/usr/share/keyrings" \
    -o Dir::State::lists="$CACHE/var/lib/apt/lists" -o Dir::State::status="$CACHE/var/lib/dpkg/status" \
    -o Dir::Cache="$CACHE/var/cache/apt" -o APT::Sandbox::User=root "$@"
}

has_generation() { [ -x "$1/usr/sbin/postfix" ] && [ -x "$1/usr/lib/dovecot/imap-login" ]; }

# What the stand-in for the image's base needs beside the system: the Python that it is named after.
PYTHON="python3.13-venv,ca-certificates"
has_python() { [ -x "$1/usr/bin/python3.13" ] && [ -d "$1/usr/lib/python3.13/ensurepip" ] && [ -e "$1/etc/ssl/certs/ca-certificates.crt" ]; }

add_python() {
  has_python "$CACHE" && return 0
  echo "Adding Python to $CACHE"
  cp /etc/resolv.conf "$CACHE/etc/resolv.conf"
  chroot "$CACHE" sh -c "apt-get update -q && apt-get install -y -q --no-install-recommends $(echo $PYTHON | tr , ' ')" \
    >/dev/null 2>&1
  has_python "$CACHE" || note "the image's base: apt-get could not install $PYTHON in $CACHE"
}

build_root() {
  has_generation "$CACHE" && { add_python; return 0; }
  [ -e "$CACHE" ] && { note "Debian 13's servers: $CACHE exists but lacks them; remove it and run this again"; return; }
  installed debian-archive-keyring || apt-get install -y -q --no-install-recommends debian-archive-keyring >/dev/null 2>&1
  # An older debootstrap may not know the name; all Debian releases are made alike.
  script=/usr/share/debootstrap/scripts/trixie
  [ -e "$script" ] || script=/usr/share/debootstrap/scripts/sid
  mkdir -p "$(dirname "$CACHE")"
  unfinished=$(mktemp -d "$(dirname "$CACHE")/unfinished.XXXXXX")
  log=$(mktemp)
  echo "Building Debian 13's root in $CACHE (a minute or two)"
  if debootstrap --variant=minbase --include="postfix,dovecot-core,dovecot-imapd,openssl,$PYTHON" \
      trixie "$unfinished" "$(debian_mirror)" "$script" >"$log" 2>&1 && has_generation "$unfinished"; then
    chmod 755 "$unfinished"
    mv "$unfinished" "$CACHE" && unfinished=""
  else
    note "Debian 13's servers: debootstrap failed: $(tail -n 1 "$log")"
  fi
  rm -f "$log"
}

[ "$(id -u)" = 0 ] || unusable "it needs root, for network namespaces"
command -v apt-get >/dev/null || unusable "no apt on this machine; the lab is made for Debian and Ubuntu"
install_browser || note "the browser: apt-get could not install $BROWSER; tests of the pages are left out"
fetch_cloud_init || note "cloud-init's schema: apt-get could not fetch the package"
install_packages || note "this machine's own servers: apt-get could not install them"
unshare --net --mount true 2>/dev/null || unusable "network or mount namespaces are not allowed here"
for tool in ip iptables-restore ip6tables-restore conntrack haproxy openssl; do
  command -v "$tool" >/dev/null || unusable "$tool is missing and could not be installed"
done
build_root
unpack_newer_readers

[ -z "$left_out" ] || echo "Left out:$left_out"
has_generation / || has_generation "$CACHE" || unusable "no generation of mail servers is there"
echo "The lab is usable."
