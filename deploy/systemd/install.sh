#!/bin/sh
# Installs mailprobe of this checkout, or of this unpacked archive, as a service: a virtual environment in /opt/mailprobe
# out of files whose hashes are known, and the unit. Run again it brings what is there up to this version.
#
# Rule 1: nothing starts that did not run before; a service that runs is started anew with the new version.
# Rule 2: a configuration and drop-ins that are there stay as they are.
# Rule 3: nothing of the system's own Python is touched.
# Rule 4: its place is emptied where Python is another one, so nothing but a virtual environment may be there.
#
# What pip is configured to do (/etc/pip.conf, $PIP_INDEX_URL, …) holds here too.

set -eu
umask 022 # the service's user reads all of it but the secrets
PLACE=/opt/mailprobe
CONFIGURATION=/etc/mailprobe/mailprobe.yaml
UNIT=/etc/systemd/system/mailprobe.service
COMMAND=/usr/local/bin/probe # so that runbooks and recipes can be typed as they stand
cd "$(dirname "$0")/../.."

stop() {
  echo "install.sh: $1" >&2
  exit 1
}

# The first Python that is new enough, can make virtual environments, and is not in a home, which the service cannot see.
find_python() {
  for python in /usr/bin/python3 python3 python3.14 python3.13 python3.12 python3.11; do
    "$python" -c 'import sys, ensurepip
sys.exit(sys.version_info < (3, 11) or sys.base_prefix.startswith(("/home/", "/root/")))' 2>/dev/null \
      && echo "$python" && return
  done
  stop "it needs the system's own Python, 3.11 or newer, with venv: apt install python3-venv"
}

[ "$(id -u)" = 0 ] || stop 'it needs root'
[ -f deploy/requirements.lock ] || stop "$(pwd) is no checkout of mailprobe"
case $(pwd -P)/ in
  "$(realpath -m "$PLACE")"/*) stop "the checkout is in $PLACE, where the virtual environment goes: move it elsewhere, and run this there" ;;
esac
more=$(ls -A "$PLACE" 2>/dev/null | grep -vxE 'bin|include|lib|lib64|share|pyvenv\.cfg|\.gitignore' | head -n 1) || :
[ -z "$more" ] || stop "$PLACE holds more than a virtual environment ($more): move that away, nothing was touched"
python=$(find_python)

version() { "$1" -c 'import sys; print(sys.version)' 2>/dev/null; }
[ "$(version "$PLACE/bin/python")" = "$(version "$python")" ] || "$python" -m venv --clear "$PLACE"
pip() {
  in=$1
  shift
  "$in/bin/python" -m pip --quiet --disable-pip-version-check "$@"
}

echo 'Fetching what deploy/*.lock names; half a minute.'
# What builds the package comes out of a lock too, and is gone afterwards.
build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT
"$python" -m venv "$build/venv"
pip "$build/venv" install --require-hashes -r deploy/build.lock
pip "$build/venv" wheel --no-deps --no-build-isolation --wheel-dir "$build" .
pip "$PLACE" install --require-hashes -r deploy/requirements.lock
pip "$PLACE" install --no-deps --no-index --force-reinstall "$build"/mailprobe-*.whl

install -d -m 755 /etc/mailprobe
install -d -m 700 /etc/mailprobe/secrets
[ -e "$CONFIGURATION" ] || install -m 644 mailprobe.example.yaml "$CONFIGURATION"
install -m 644 deploy/systemd/mailprobe.service "$UNIT"
[ -e "$COMMAND" ] || [ -L "$COMMAND" ] || ln -s "$PLACE/bin/probe" "$COMMAND"
if [ -d /run/systemd/system ]; then
  systemctl daemon-reload
  systemctl try-restart mailprobe.service || stop 'the new version does not start: journalctl -u mailprobe -n 20 says why'
fi
echo "$("$PLACE/bin/probe" --version) is in $PLACE; its configuration is $CONFIGURATION."
echo "Next: edit it, probe check-config --config $CONFIGURATION, then systemctl enable --now mailprobe (docs/install.md)."
