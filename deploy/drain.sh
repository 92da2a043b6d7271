#!/bin/sh
# Drains a node only while mail is well, and watches it all the time: docs/drains.md.
#
#   1. before   probe --once --wait       not all ok: nothing is touched
#   2. during   probe watch --while       kubectl drain begins when the watch has its baseline; an outage that is too long
#                                         stops the drain, and nothing else does; a drain that fails is told at once
#   3. after    the same watch goes on    until all has been ok for --stable seconds since the drain was over,
#               probe --once --wait       says what has become of the clients' addresses
#
# The watch has to know the drain's process before there is a drain: it is one that waits for a word, and becomes kubectl. Who
# takes the word, a file, takes it for good: so whether anything was touched is known at any moment, and the word can be taken back.
#
# What anybody tells goes to a file, and from there to standard error by a process of its own: so no terminal that nobody
# reads (Ctrl-S, an ssh amid a change of the network) holds up the watch, its end, or a signal. Standard output is that of
# probe --once.
#
# probe and kubectl may be wrappers (`kubectl --context mail "$@"`), and who ends a wrapper has not ended what it began. So each
# has a session, and with it a process group, of its own: a terminal's signals are for this script alone, which ends the
# groups, waits for them, and says what has become of the drain. For what runs elsewhere (ssh) that place has to answer. What
# runs as another user (sudo in a wrapper) cannot be ended from here, so it is refused before anything is touched.
#
# Run it where clients are, outside the cluster. Exit codes are probe's: 0 ok, 1 warning, 2 critical, 3 unknown, 64 usage;
# and 70 where kubectl drain failed.

# shellcheck disable=SC2317 # what the trap calls

set -u

PROBE=${PROBE:-probe}
KUBECTL=${KUBECTL:-kubectl}
BASELINE='the change may begin'
TICK=0.1
SIGNALS='HUP INT QUIT USR1 USR2 PIPE ALRM TERM'

usage() {
    cat <<'END'
Usage: drain.sh [OPTION]... NODE [OPTION OF kubectl drain]...
  --config FILE     configuration of the probe, where it is not in its usual place
  --path NAME       only this path; may be repeated
  --before S        wait so long for all to be ok before anything is touched (60)
  --after S         the same at the end (120)
  --stable S        the watch ends when all has been ok for so long (60)
  --max-outage S    stop at an outage of an endpoint longer than this (120)
  --report NAME     the watch's report is NAME-1.html (drain-NODE), or the next number that is free
Without options of its own, kubectl drain is given --ignore-daemonsets; without a --timeout one of 30m, for a disruption
budget may never let go of a pod. PROBE and KUBECTL name other programs, which have no terminal to ask for a password.
END
}

# A signal may be heeded amid a command whose standard error goes nowhere, so what is said goes to a descriptor of its own. Where
# there is no room for it, what was kept for that is given up. Where there is no standard error (2>&-), nobody hears it.
true >&2 || exec 2>/dev/null
exec 4>&2
last_word=''
say() {
    printf 'drain.sh: %s\n' "$*" >&4 && return
    rm -f "$last_word"
    printf 'drain.sh: %s\n' "$*" >&4
}

refuse() {
    say "$1"
    usage >&2
    exit 64
}

# need PROGRAM WHAT-NOW: a program that is missing is no matter of usage.
need() {
    command -v "$1" >/dev/null && return
    say "there is no program $1; $2"
    exit 64
}

# The time in $now: hundredths of a second on a clock that nobody sets.
look_at_clock() {
    read -r now _ </proc/uptime
    now=${now%.*}${now#*.}
}

# Options of ours end at the node's name; what comes after it is kubectl's. A POSIX shell has one list only, "$@", which is
# needed for kubectl's options: so paths are kept as path_1, path_2, ….
before=60 after=120 stable=60 most=120 report='' config='' paths=0
while [ $# -gt 0 ]; do
    option=$1
    case $option in
        --*=*)
            shift
            set -- "${option%%=*}" "${option#*=}" "$@"
            continue
            ;;
        --before) before=${2-} ;;
        --after) after=${2-} ;;
        --stable) stable=${2-} ;;
        --max-outage) most=${2-} ;;
        --report) report=${2-} ;;
        --config) config=${2-} ;;
        --path)
            paths=$((paths + 1))
            eval "path_$paths=\${2-}"
            ;;
        -h | --help) usage && exit ;;
        -*) refuse "unknown option $option (options of kubectl drain come after the node's name)" ;;
        *) break ;;
    esac
    [ $# -ge 2 ] || refuse "$option needs a value"
    shift 2
done
[ $# -gt 0 ] || refuse 'which node?'
node=$1
shift
# kubectl takes these as well.
case $node in node/* | nodes/* | no/*) node=${node#*/} ;; esac
case $node in '' | */*) refuse "'$node' is no node's name" ;; esac
# A word without a dash is the value of the option before it, unless that takes none, or has one.
before_it=$node
for option in "$@"; do
    case $option in
        -*) ;;
        *)
            case $before_it in
                [!-]* | *=* | -- | --delete-emptydir-data | --disable-eviction | --dry-run | --force | --ignore-daemonsets | \
                    --disable-compression | --insecure-skip-tls-verify | --match-server-version | --warnings-as-errors)
                    refuse "one node at a time: what is '$option'?" ;;
            esac
            ;;
    esac
    before_it=$option
    case ${option%%=*} in
        -h | --help | --before | --after | --stable | --max-outage | --report | --config | --path)
            refuse "$option comes before the node's name" ;;
    esac
done
[ $# -gt 0 ] || set -- --ignore-daemonsets
case " $*" in *' --timeout'*) ;; *) set -- "$@" --timeout=30m ;; esac
for number in "$before" "$after" "$stable" "$most"; do
    case $number in
        '' | *[!0-9]*) refuse "'$number' is no number of whole seconds" ;;
    esac
done
[ "$stable" -gt 0 ] || refuse '--stable has to be at least 1'
GIVE_BACK="kubectl uncordon $node gives the node back"
report=${report:-drain-$node}
report=${report%.html}
need "$PROBE" 'say where it is: PROBE=/path/to/it drain.sh …'
need "$KUBECTL" 'say where it is: KUBECTL=/path/to/it drain.sh …'
need setsid 'without it nobody could be ended for sure; util-linux has it, and busybox'

# Becomes probe with these arguments, the configuration and the paths that were asked for: so only in the background, where
# the number is then that of probe and of its group.
become_probe() {
    [ -z "$config" ] || set -- "$@" --config "$config"
    number=0
    while [ "$number" -lt "$paths" ]; do
        number=$((number + 1))
        eval "set -- \"\$@\" --path \"\$path_$number\""
    done
    exec setsid "$PROBE" "$@"
}

work=$(mktemp -d) || refuse 'no room for a temporary directory (TMPDIR names another place)'
told=$work/told room=$work/room spare=$work/spare
if ! { printf '%32768s' '' >"$spare" && printf '%4096s' '' >"$work/last_word" && printf '' >"$told"; } 2>/dev/null; then
    rm -rf "$work"
    refuse "no room in $work (TMPDIR names another place)"
fi
last_word=$work/last_word
probe='' drain='' begins='' begun='' drained='' written='' full=''
then="; watching until all has been ok for $stable s"

# Another user's process is there, but a signal to it is refused like one to nobody: only the reason tells them apart. Of a group
# (-NUMBER) this is said if it holds for all.
foreign() {
    case $(LC_ALL=C && kill -s 0 -- "$1" 2>&1) in
        '' | *'o such process'*) return 1 ;;
    esac
}

# A zombie is not; where /proc hides it, nobody can tell.
alive() {
    if { read -r stat <"/proc/$1/stat"; } 2>/dev/null; then
        case ${stat##*) } in [XZ]*) return 1 ;; *) return 0 ;; esac
    fi
    kill -s 0 "$1" 2>/dev/null || foreign "$1"
}

# Takes the word back where nobody has taken it.
is_touched() {
    rm -f "$work/go"
    [ -e "$work/taken" ]
}

tell() {
    if is_touched; then say "$1; $GIVE_BACK"; else say "$1; nothing was touched"; fi
}

# A line of what is told. Where nobody takes it any more (Ctrl-C ends a tee too), the terminal shows it, if there is one.
pass_on() {
    printf '%s\n' "$1" >&3 && return
    [ -c /dev/tty ] && { true >/dev/tty; } && exec 3>/dev/tty
    printf '%s\n' "$1" >&3
}

# Prints what is told until all of it is, or whoever began this is gone, which is told then. A terminal's signals are for others
# to heed, and that of a background job that writes to it.
relay() {
    # shellcheck disable=SC2086 # a list
    trap '' $SIGNALS TTOU
    part=''
    while :; do
        last=''
        if [ -e "$work/over" ] || ! alive $$; then last=1; fi
        while IFS= read -r line; do
            pass_on "$part$line"
            part=''
        done
        part=$part$line
        [ -z "$last" ] || break
        sleep "$TICK"
    done
    [ -z "$part" ] || pass_on "$part"
    exec 4>&3
    [ -e "$work/over" ] || tell "killed$(! is_touched || echo ', which ends kubectl drain within seconds')"
    rm -rf "$work"
}

# A script that Ctrl-Z had stopped would leave a drain that nobody ends.
trap '' TSTP
relay 3>&2 2>/dev/null <"$told" >/dev/null &
relay=$!
exec 2>>"$told" 4>&2

# Who of a group is alive (a zombie only waits for its parent), and its leader, who may be so young that there is no group yet.
members() {
    sed -n -e "s/^\($1\) (.*) [^XZ] .*/\1/p" -e t -e "s/^\([0-9]*\) (.*) [^XZ] [0-9]* $1 .*/\1/p" \
        /proc/[0-9]*/stat 2>/dev/null
}

# /proc may hide what is another user's (hidepid).
there() { [ -n "$(members "$1")" ] || foreign "-$1"; }

signal() { kill -s "$2" -- "-$1" 2>/dev/null || kill -s "$2" "$1" 2>/dev/null; }

# lasts S COMMAND…: whether it still holds after so many seconds.
lasts() {
    look_at_clock
    until=$((now + $1 * 100))
    shift
    while "$@" 2>/dev/null; do
        look_at_clock
        [ "$now" -lt "$until" ] || return 0
        sleep "$TICK"
    done
    return 1
}

ours() { there "$1" && ! foreign "-$1"; }

# Whoever is left has not heeded SIGTERM; true if all of the group are gone at last.
gone() {
    ! lasts 5 ours "$1" || signal "$1" KILL
    ! lasts 2 ours "$1" && ! there "$1"
}

# Who ends with 0 was done, whatever signal came meanwhile.
tell_end_of_drain() {
    if ! is_touched; then
        gone "$drain" || say "a process that waited to become kubectl drain was not ended: kill -s KILL $drain"
    elif ! gone "$drain"; then
        say "kubectl drain WAS NOT ENDED, it may evict still: sudo kill -s KILL -- -$drain ends it"
    elif wait "$drain"; then
        say 'kubectl drain has ended'
    else
        say 'kubectl drain was ended before it was done; what it has evicted stays so'
    fi
}

# A watch that gets a second signal ends without its report, and some wrappers pass on what they get: so first the leader alone.
let_probe_end() {
    ! lasts 10 kill -0 "$probe" || say "probe does not end; its report may be missing"
    signal "$probe" TERM
    gone "$probe" || say "probe was not ended: sudo kill -s KILL -- -$probe ends it"
}

# The drain first: nothing more is to be evicted while the watch writes its report. No second signal cuts this short.
end() {
    # shellcheck disable=SC2086 # a list
    trap '' $SIGNALS
    # A signal may come between the begin of a program and the note of its number.
    if [ -n "$begins" ] && [ "$latest" != "$!" ]; then eval "$begins=$!"; fi
    then=''
    look_at_drain
    [ -z "$drain" ] || signal "$drain" TERM
    [ -z "$probe" ] || kill "$probe" 2>/dev/null
    [ -z "$drain" ] || tell_end_of_drain
    [ -z "$probe" ] || let_probe_end
    : >"$work/over"
    ! lasts 2 kill -0 "$relay" || kill -KILL "$relay"
    rm -rf "$work"
}

# dash ends on what is not caught here without another word.
trap end EXIT
trap 'tell interrupted; exit 130' INT
trap 'tell ended; exit 143' HUP QUIT USR1 USR2 PIPE ALRM TERM

# can_end NAME PROGRAM ARGUMENT…: refuses a program that, asked for something harmless, runs what this script could not end. That
# takes it some 50 ms, so it is looked at without a pause, but not for ever.
can_end() {
    name=$1
    shift
    setsid "$@" </dev/null >/dev/null &
    look_at_clock
    until=$((now + 500))
    while alive $! && [ "$now" -lt "$until" ]; do
        for one in $(members $!) "-$!"; do
            foreign "$one" || continue
            say "$name runs as another user, so it could not be ended: run drain.sh itself by sudo; nothing was touched"
            exit 64
        done
        look_at_clock
    done
    ! alive $! || signal $! KILL
}

# In the background, for a shell heeds no signal while it waits for a program before it.
gate() {
    latest=$! begins=probe
    become_probe --once --wait "$1" &
    probe=$! begins=''
    wait "$probe"
    code=$?
    probe=''
}

# Waits for a word, and then becomes kubectl drain: its number, which is that of its group too, is known before, and no signal of
# a terminal is for it. The end of this script ends all of it, and so does a SIGKILL that leaves it no time for that: somebody in
# the group looks for it each second.
# shellcheck disable=SC2016 # what the other shell expands
WAITS='while kill -0 $$; do
        if ! kill -0 "$2" || grep -q ") [XZ] " "/proc/$2/stat"; then trap "" TERM && kill -s TERM 0 && sleep 5; kill -s KILL 0; fi
        sleep 1
    done >/dev/null 2>&1 &
    until [ -e "$1/go" ] && mv "$1/go" "$1/taken"; do sleep "$3"; done 2>/dev/null
    shift 3
    exec "$@"'
prepare_drain() {
    latest=$! begins=drain
    setsid sh -c "$WAITS" drain.sh "$work" $$ "$TICK" "$KUBECTL" drain "$node" "$@" </dev/null >&2 &
    drain=$! begins=''
}

begin_drain() {
    say "kubectl drain $node $*"
    begun=yes
    : >"$work/go"
}

# Whether what is told arrives. What does not is lost without a word, the baseline too, for which a drain would wait for ever.
has_room() { printf . >"$room" && printf '' >"$room"; } 2>/dev/null

# Whether it does not, and what was kept for it is given up already. Amid a drain only if that lasts: who fills a disk for a
# moment should end none.
has_lost_room() {
    if has_room; then
        full=''
        return 1
    elif [ -e "$spare" ]; then
        rm -f "$spare"
        return 1
    fi
    look_at_clock
    full=${full:-$now}
    [ -z "$begun" ] || [ "$now" -ge $((full + 300)) ]
}

# One that failed may have evicted some pods, so the watch goes on; but nobody should have to wait for its end to hear of it.
look_at_drain() {
    if [ -z "$drain" ] || alive "$drain"; then return; fi
    wait "$drain"
    drained=$?
    drain=''
    if ! is_touched; then
        say "the process that was to become kubectl drain was lost (exit code $drained); nothing was touched"
    elif [ "$drained" -eq 0 ]; then
        say "kubectl drain has ended$then"
    else
        say "kubectl drain failed (exit code $drained), see above$then; $GIVE_BACK"
    fi
}

# As amtool takes a name between double quotes, and a shell between single ones.
quoted() {
    printf '%s\n' "$1" | sed -e 's/["\\]/\\&/g' -e "s/'/'\\\\''/g"
}

# What is planned should page nobody, and whoever begins it knows best for how long.
tell_how_to_tell_the_pager() {
    say 'the pager is not told by this script; if it should be (docs/alerts.md has more on it):'
    number=0
    while :; do
        number=$((number + 1))
        of=''
        [ "$paths" -eq 0 ] || eval "of=\" 'path=\\\"\$(quoted \"\$path_$number\")\\\"'\""
        say "  amtool silence add 'alertname=~\"Mailprobe.+\"'$of --duration=45m --comment='drain of $node'"
        [ "$number" -lt "$paths" ] || break
    done
}

# The watch to its end; the drain begins at its baseline. No report takes the place of another.
watch() {
    number=1
    while [ -e "$report-$number.html" ]; do number=$((number + 1)); done
    written=$report-$number.html
    prepare_drain "$@"
    latest=$! begins=probe
    become_probe watch --while "$drain" --until-stable "$stable" --max-outage "$most" --report "$written" >&2 &
    probe=$! begins=''
    while alive "$probe"; do
        if has_lost_room; then
            tell "there is no room left in $work, so what the watch tells is lost (TMPDIR names another place)"
            exit 3
        fi
        if [ -z "$begun" ] && grep -q "$BASELINE" "$told"; then begin_drain "$@"; fi
        look_at_drain
        [ -n "$drain" ] || is_touched || exit 70
        sleep "$TICK"
    done
    wait "$probe"
    code=$?
    probe=''
}

can_end PROBE "$PROBE" --version
can_end KUBECTL "$KUBECTL" version --client
tell_how_to_tell_the_pager
say "before: is all well?"
gate "$before"
what='not all is well'
[ "$code" -ne 64 ] || what='probe was called wrongly, see above'
if [ "$code" -ne 0 ]; then
    say "$what (exit code $code): nothing was touched"
    exit "$code"
fi

watch "$@"
watched=$code then=''
look_at_drain
if [ -n "$drain" ] || ! is_touched; then
    [ "$code" -ne 0 ] || code=3
    what='the watch failed'
    [ -n "$begun" ] || what='the watch did not begin, see above'
    tell "$what (exit code $code, $written)"
    [ -n "$begun" ] || ! grep -q -e --from-broken "$told" ||
        say 'this script begins nothing where something is broken: --from-broken is for a watch by hand (docs/watch.md)'
    exit "$code"
fi
[ "$watched" -eq 0 ] || say "the watch ended with exit code $watched, see above and $written; $GIVE_BACK"

say "after: is all well?"
gate "$after"
[ "$watched" -le 3 ] || written='no report, for the watch was lost'
what="the watch ended with $watched, and probe says $code; what was watched is in $written"
if [ "$drained" -ne 0 ]; then
    say "kubectl drain failed (exit code $drained); $what; $GIVE_BACK"
    exit 70
fi
say "$node is drained; $what"
# The worse of both decides, in the order of probe's own codes.
for worst in 2 1 3; do
    if [ "$watched" -eq "$worst" ] || [ "$code" -eq "$worst" ]; then exit "$worst"; fi
done
exit "$((watched + code))"
