#!/usr/bin/env bash
# The rehearsal under systemd: the services and timers of this folder, by a real systemd, with a real MongoDB.
#
# What it shows:
# 1. the destination is missing when the timer fires: the service fails with code 31; started again before the back-off has passed it
#    waits, which is no failure (code 11); `retry` of the other timer finishes the day;
# 2. started once more it does nothing, and that is a success;
# 3. a command by hand has the settings, the secrets and the user of the service;
# 4. `systemctl stop` in the middle of a run: it ends cleanly with code 143, and `retry` takes it up at once.
# Any other result ends the script with a message and a code.
#
# Differences from a real machine, and why:
# - this systemd is the first process of namespaces of its own, on a view of this machine that keeps what is written to it in memory: it
#   starts nothing of this machine and changes nothing on it. That needs root.
# - the clock is the real one, so drop-ins move the timers: `run` to some seconds from now, the cut-off to the minute of that, and `retry`
#   to every five seconds from then on, with a back-off of six.
# - the destination is a directory, by the drop-in of this folder.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

say() {
    printf '\n== %s\n' "$*"
}
give_up() {
    printf 'systemd rehearsal: %s\n' "$*" >&2
    exit 1
}

[ "$(id -u)" = 0 ] || give_up 'only root can start a systemd; run this as root, in a virtual machine for example'
sh examples/needs.sh trial rehearsal
if [ "${1:-}" != --in-its-own-mounts ]; then
    unshare --mount true || give_up 'this machine allows no mount namespace (unshare --mount); run this with more rights'
    exec unshare --mount -- examples/systemd/rehearsal.sh --in-its-own-mounts
fi

cargo build --quiet --bin batch-export --example seed
target=$(cd "${CARGO_TARGET_DIR:-target}" && pwd)
seed=$target/debug/examples/seed
scratch=$(mktemp -d "$target/rehearsal.XXXXXX")
mkdir "$scratch"/{cgroups,machine}
server=
machine=
cgroup=
clean_up() {
    # The first process of the machine takes all others of it along.
    [ -z "$machine" ] || { kill -KILL "$machine" && wait "$machine"; } 2>/dev/null || true
    [ -z "$server" ] || { kill "$server" && wait "$server"; } 2>/dev/null || true
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        # A group can be removed a moment after its last process has gone.
        [ ! -d "$cgroup" ] || { find "$cgroup" -depth -type d -exec rmdir {} + && break; } 2>/dev/null || sleep 0.1
    done
    umount "$scratch/cgroups" 2>/dev/null || true
    rm -rf "$scratch"
}
trap clean_up EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

. examples/trial-mongod.sh
start_mongod "$scratch" "$seed"

# In a control group of its own, where it may do as it likes.
mount -t cgroup2 none "$scratch/cgroups" || give_up 'this machine has no control groups of version 2'
cgroup=$scratch/cgroups/batch-export-rehearsal.$$
mkdir "$cgroup"
{
    echo "$BASHPID" >"$cgroup/cgroup.procs"
    exec unshare --mount --pid --uts --ipc --cgroup --fork --kill-child \
        examples/systemd/trial-machine.sh "$scratch/machine" "$target/debug/batch-export"
} >"$scratch/machine.log" 2>&1 &
machine=$!

# The machine's first process, as this one knows it.
first() {
    tr -d ' ' <"/proc/$machine/task/$machine/children"
}
# Runs a line in the shell of the machine's operator, who stands in this folder.
operator() {
    nsenter --target "$(first)" --all --root -- \
        env -i HOME=/root PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin sh -euc "cd '$PWD' && $1"
}
# Waits until the operator's line $1 succeeds.
until_it_is_so() {
    local waited=0
    until operator "$1" >/dev/null 2>&1; do
        kill -0 "$machine" 2>/dev/null || give_up "the machine ended: $(cat "$scratch/machine.log")"
        [ "$waited" -lt 150 ] || give_up "never came: $1; $(operator 'journalctl --no-pager --output cat' 2>&1)"
        waited=$((waited + 1))
        sleep 0.2
    done
}
journal='journalctl --quiet --no-pager --output short --unit batch-export --unit batch-export-retry'
# Waits until the journal of the two services has a line with $1 that it did not have before, and shows what is new.
shown=0
expect() {
    until_it_is_so "$journal | tail -n +$((shown + 1)) | grep -q -- '$1'"
    # What systemd itself says of it comes a moment later.
    sleep 0.3
    operator "$journal" >"$scratch/journal"
    tail -n "+$((shown + 1))" "$scratch/journal"
    shown=$(wc -l <"$scratch/journal")
}
# Wants $2 as property $1 of the service.
service_has() {
    local value
    value=$(operator "systemctl show --value --property $1 batch-export")
    [ "$value" = "$2" ] || give_up "the service's $1 should be $2, and not $value"
    printf '%s=%s\n' "$1" "$value"
}

until_it_is_so 'systemctl is-system-running'
say "Its first process is $(operator 'cat /proc/1/comm'), $(operator 'systemctl --version | head -n 1')"

say 'An operator installs the units, and settings'
operator 'cp examples/systemd/*.service examples/systemd/*.timer /etc/systemd/system/'
operator 'groupadd accounting && install -d -g accounting -m 2770 /srv/accounting'
operator 'for name in batch-export batch-export-retry; do
        install -D -m 644 examples/systemd/directory.conf /etc/systemd/system/$name.service.d/directory.conf
    done'
# Both moments are of the same business date, and the timer strikes while there is time to look between two lines of the other one.
[ "$(TZ=Asia/Bangkok date +%H%M)" != 2359 ] || sleep 60
strikes=$(($(date +%s) + 10))
bangkok() {
    TZ=Asia/Bangkok date -d "@$1" "+$2"
}
day=$(bangkok "$strikes" %F)
# Settings of a company: its database, and its folder.
company() {
    operator "install -D -m 600 /dev/null /etc/batch-export/mongodb-uri
        echo 'mongodb://127.0.0.1:$port/$1?replicaSet=trial' >/etc/batch-export/mongodb-uri
        printf '%s\n' BATCH_EXPORT_DESTINATION=file://$2 BATCH_EXPORT_CUTOFF=$(bangkok "$strikes" %R) BATCH_EXPORT_RETRY_DELAYS=6s \
            >/etc/batch-export/env"
    say "$1: $("$seed" "mongodb://127.0.0.1:$port/$1?replicaSet=trial" load examples/day.json "$day")"
}
company first /srv/accounting
calendar() {
    bangkok "$1" 'OnCalendar=*-*-* %T Asia/Bangkok'
}
mkdir "$scratch/moved"
printf '[Timer]\nOnCalendar=\n%s\n' "$(calendar "$strikes")" >"$scratch/moved/batch-export"
{
    printf '[Timer]\nOnCalendar=\n'
    for later in $(seq 3 5 300); do
        calendar $((strikes + later))
    done
} >"$scratch/moved/batch-export-retry"
for name in batch-export batch-export-retry; do
    operator "install -D -m 644 /dev/stdin /etc/systemd/system/$name.timer.d/moved.conf" <"$scratch/moved/$name"
done

say "The destination is not there when the timer strikes at $(bangkok "$strikes" %T)"
operator 'mv /srv/accounting /srv/away'
operator 'systemctl daemon-reload'
operator 'systemctl enable --now batch-export.timer batch-export-retry.timer'
expect 'batch-export.service: Failed with result'
service_has ExecMainStatus 31
operator 'mv /srv/away /srv/accounting'

say 'The destination is back; started by hand before the back-off has passed, the service waits'
operator 'systemctl start batch-export'
service_has ExecMainStatus 11
service_has Result success
say 'The timer of `retry` finishes the day'
expect "batch_$day  completed"
operator "stat --format '%n: %G may read it (%A)' /srv/accounting/batch_$day.csv" | tee "$scratch/file"
grep -q ': accounting may read it (-r--r-----)$' "$scratch/file" || give_up 'the accountant should be able to read the file, and nobody else, nor change it'

say 'Started once more, it does nothing'
operator 'systemctl start batch-export'
expect "batch_$day  already_completed"
service_has Result success

say 'By hand, a command has the settings, the secrets and the user of the service'
operator 'systemctl start dbus'
operator "examples/systemd/by-hand.sh verify --date $day"
code=0
operator 'mv /etc/batch-export/mongodb-uri /etc/away && examples/systemd/by-hand.sh doctor' || code=$?
[ "$code" = 30 ] || give_up "without its secret the command should end with 30, and not $code"
code=0
operator 'mv /etc/away /etc/batch-export/mongodb-uri && mv /etc/batch-export/env /etc/away && examples/systemd/by-hand.sh doctor' || code=$?
[ "$code" = 30 ] || give_up "without its settings the command should end with 30, and not $code"
operator 'mv /etc/away /etc/batch-export/env'
operator 'mkdir -p /usr/sbin && printf "#!/bin/sh\nexit 99\n" >/usr/sbin/batch-export && chmod +x /usr/sbin/batch-export'
operator 'PATH=/usr/sbin:$PATH examples/systemd/by-hand.sh --version && rm /usr/sbin/batch-export'

operator 'systemctl stop batch-export-retry.timer'
operator 'install -d -g accounting -m 2770 /srv/accounting/second'
company second /srv/accounting/second
say 'The service is stopped while it waits for a folder in which another run is busy'
exec 8<"/proc/$(first)/root/srv/accounting/second"
flock 8
operator 'systemctl start --no-block batch-export'
expect 'acquired'
operator 'systemctl stop batch-export'
expect 'interrupted'
service_has ExecMainStatus 143
exec 8<&-
say 'The folder is free; the timer of `retry` takes it up'
operator 'systemctl start batch-export-retry.timer'
expect "batch_$day  completed"

echo
operator 'systemctl list-timers --no-pager "batch-export*"'
[ "$(operator "find /srv/accounting -name '*.csv' | wc -l")" = 2 ] || give_up 'there should be exactly one file for each of the two companies'
say 'Two companies, two files'
