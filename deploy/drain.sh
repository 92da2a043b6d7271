#!/bin/sh
# Drains a node only while mail is well, and watches it all the time: docs/drains.md.
#
#   1. before   probe --once --wait       not all ok: nothing is touched
#   2. during   probe watch               kubectl drain begins when the watch has its baseline; an outage that is too long
#                                         stops the drain
#   3. after    probe watch goes on until all has been ok for --stable seconds since the drain was over,
#               then probe --once --wait  says what has become of the clients' addresses
#
# A watch ends by itself when all has been ok for --stable seconds. If that is before the drain has done its work, another
# one follows, which takes things as it finds them: let --stable be longer than the pod's terminationGracePeriodSeconds, and
# one watch sees it all.
#
# Run it where clients are, outside the cluster. Exit codes are probe's: 0 ok, 1 warning, 2 critical, 3 unknown, 64 usage;
# and 70 where kubectl drain failed.

set -u

PROBE=${PROBE:-probe}
KUBECTL=${KUBECTL:-kubectl}
BASELINE='the change may begin'

usage() {
    cat <<'END'
Usage: drain.sh [OPTION]... NODE [OPTION OF kubectl drain]...
  --config FILE     configuration of the probe, where it is not in its usual place
  --path NAME       only this path; may be repeated
  --before S        wait so long for all to be ok before anything is touched (60)
  --after S         the same at the end (120)
  --stable S        the watch ends when all has been ok for so long (60)
  --max-outage S    stop at an outage of an endpoint longer than this (120)
  --report NAME     the watch's report is NAME-1.html (drain-NODE); NAME-2.html if another watch is needed
Without options of its own, kubectl drain is given --ignore-daemonsets. PROBE and KUBECTL name other programs.
END
}

say() { printf 'drain.sh: %s\n' "$*" >&2; }

refuse() {
    say "$1"
    usage >&2
    exit 64
}

# Options of ours end at the node's name; what comes after it is kubectl's. A POSIX shell has one list only, "$@", which is
# needed for kubectl's options: so paths are kept as path_1, path_2, ….
before=60 after=120 stable=60 most=120 report='' config='' paths=0
while [ $# -gt 0 ]; do
    case $1 in
        --before | --after | --stable | --max-outage | --report | --config | --path)
            [ $# -ge 2 ] || refuse "$1 needs a value"
            case $1 in
                --before) before=$2 ;;
                --after) after=$2 ;;
                --stable) stable=$2 ;;
                --max-outage) most=$2 ;;
                --report) report=$2 ;;
                --config) config=$2 ;;
                --path)
                    paths=$((paths + 1))
                    eval "path_$paths=\$2"
                    ;;
            esac
            shift 2
            ;;
        -h | --help)
            usage
            exit 0
            ;;
        -*) refuse "unknown option $1 (options of kubectl drain come after the node's name)" ;;
        *) break ;;
    esac
done
[ $# -gt 0 ] || refuse 'which node?'
node=$1
shift
[ $# -gt 0 ] || set -- --ignore-daemonsets
for number in "$before" "$after" "$stable" "$most"; do
    case $number in
        '' | *[!0-9]*) refuse "$number is no number of whole seconds" ;;
    esac
done
[ "$stable" -gt 0 ] || refuse '--stable has to be at least 1'
report=${report:-drain-$node}
report=${report%.html}
command -v "$PROBE" >/dev/null || refuse "there is no program $PROBE"
command -v "$KUBECTL" >/dev/null || refuse "there is no program $KUBECTL"

# Becomes probe with these arguments, the configuration and the paths that were asked for: so only in a subshell, whose
# number is then probe's.
become_probe() {
    [ -z "$config" ] || set -- "$@" --config "$config"
    number=0
    while [ "$number" -lt "$paths" ]; do
        number=$((number + 1))
        eval "set -- \"\$@\" --path \"\$path_$number\""
    done
    exec "$PROBE" "$@"
}

work=$(mktemp -d) || exit 70
watch='' drain=''

# shellcheck disable=SC2317 # called by the trap
end() {
    [ -z "$drain" ] || kill "$drain" 2>/dev/null
    if [ -n "$watch" ]; then
        kill "$watch" 2>/dev/null
        wait "$watch"
    fi
    rm -rf "$work"
}
trap end EXIT
trap 'say "interrupted; kubectl uncordon $node gives the node back"; exit 130' INT
trap 'say "ended; kubectl uncordon $node gives the node back"; exit 143' TERM HUP

# The drain in the background; its exit code and end are a file, which is there at once or not at all.
begin_drain() {
    say "kubectl drain $node $*"
    (
        trap - EXIT INT HUP
        "$KUBECTL" drain "$node" "$@" >&2 &
        trap 'kill $!; exit 143' TERM
        wait $!
        printf '%s %s\n' "$?" "$(date +%s)" >"$work/ending"
        mv "$work/ending" "$work/drained"
    ) </dev/null &
    drain=$!
}

# One watch to its end: its lines are passed on, and the drain begins at the first baseline.
watch_once() {
    mkfifo "$work/told.$round" || exit 70
    as_found=''
    [ "$round" -eq 1 ] || as_found=--from-broken
    become_probe watch --until-stable "$stable" --max-outage "$most" --report "$report-$round.html" \
        ${as_found:+"$as_found"} 2>"$work/told.$round" &
    watch=$!
    while IFS= read -r line; do
        printf '%s\n' "$line" >&2
        case $line in
            *"$BASELINE"*) [ -n "$drain" ] || begin_drain "$@" ;;
        esac
    done <"$work/told.$round"
    wait "$watch"
    code=$?
    watch=''
    return "$code"
}

say "before: is all well?"
(become_probe --once --wait "$before")
code=$?
if [ "$code" -eq 64 ]; then
    say "probe was called wrongly, see above (exit code 64): nothing was touched"
    exit 64
elif [ "$code" -ne 0 ]; then
    say "not all is well (exit code $code): nothing was touched"
    exit "$code"
fi

round=0
while :; do
    round=$((round + 1))
    watch_once "$@"
    code=$?
    if [ -z "$drain" ]; then
        [ "$code" -ne 0 ] || code=3
        say "the watch did not begin (exit code $code): nothing was touched"
        exit "$code"
    fi
    if [ "$code" -ne 0 ]; then
        say "the watch failed (exit code $code, $report-$round.html); kubectl uncordon $node gives the node back"
        exit "$code"
    fi
    # A watch that was stable while the drain was still at it has not seen what the drain does.
    if [ -e "$work/drained" ]; then
        read -r drained over <"$work/drained"
        [ $(($(date +%s) - over)) -lt "$stable" ] || break
    fi
    say "all was ok for $stable s, but the drain $([ -e "$work/drained" ] && echo 'has just ended' || echo 'goes on'): watching on"
done
drain=''

say "after: is all well?"
(become_probe --once --wait "$after")
code=$?
if [ "$drained" -ne 0 ]; then
    say "kubectl drain failed (exit code $drained); probe's is $code"
    exit 70
fi
say "$node is drained, and probe says $code"
exit "$code"
