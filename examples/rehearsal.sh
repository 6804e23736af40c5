#!/usr/bin/env bash
# The rehearsal of 18:00: a real cron daemon with the lines of crontab.example, a real MongoDB, and a clock shortly before 18:00.
#
# What it shows, day by day:
# 1. the batch arriving at the cut-off; then the trigger of a second machine, whose clock is behind, doing nothing;
# 2. the destination not there at 18:00, recorded; `retry` four minutes later doing nothing; at five minutes, the real first delay,
#    finishing the day;
# 3. the same, with nobody at hand: cron's own `retry`, the first one after the five minutes, finishes the day.
# Any other result ends the script with a message and a code.
#
# Differences from a real evening, and why:
# - everybody sees a shifted clock (libfaketime), so that nobody waits for 18:00. The database too, because leases and back-off follow
#   its clock. It reads its clock from a file at each look, and so can jump while it runs; it is never set back.
# - between the scenes the clock jumps. Cron would sleep through that, so it is stopped and started again at the later time.
# - cron reads its tables from fixed places. All of this runs in a mount namespace of its own where these hold only the rehearsal's
#   table, so that no job of this machine is started, and where libfaketime's shared memory goes away with it. That needs root.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() {
    printf '\n== %s\n' "$*"
}
give_up() {
    printf 'rehearsal: %s\n' "$*" >&2
    exit 1
}

[ "$(id -u)" = 0 ] || give_up 'only root can give cron a table of its own; run this as root, in a container for example'
sh examples/needs.sh trial rehearsal
if [ "${1:-}" != --in-its-own-mounts ]; then
    unshare --mount true || give_up 'this machine allows no mount namespace (unshare --mount); run this with more rights'
    exec unshare --mount -- examples/rehearsal.sh --in-its-own-mounts
fi
# The one that locks, because the database has many threads.
faketime_library=$(faketime -m -f +0 sh -c 'echo "$LD_PRELOAD"')

for name in $(compgen -e BATCH_EXPORT_ | grep -v TEST_MONGOD; compgen -e GOOGLE_; compgen -e MONGODB_); do
    unset "$name"
done
cargo build --quiet --bin batch-export --example seed
target=$(cd "${CARGO_TARGET_DIR:-target}" && pwd)
scratch=$(mktemp -d "$target/rehearsal.XXXXXX")
server=
cron=
stop_cron() {
    [ -z "$cron" ] || { kill "$cron" && wait "$cron"; } 2>/dev/null || true
    cron=
}
clean_up() {
    stop_cron
    [ -z "$server" ] || { kill "$server" && wait "$server"; } 2>/dev/null || true
    rm -rf "$scratch"
}
trap clean_up EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

mkdir "$scratch"/{share,spool,tables,nothing,run}
mount --bind "$scratch/tables" /var/spool/cron/crontabs
mount --bind "$scratch/nothing" /etc/cron.d
mount --bind /dev/null /etc/crontab
mount --bind "$scratch/run" /run
mount -t tmpfs none /dev/shm

# Moves the clock of the database, and of all that is started from now on, to $1 (with its zone). Never shown too early: the fraction of
# the real second is on top.
offset=
clock_shows() {
    offset_to "$1"
    printf '%s\n' "$offset" >"$scratch/clock.new"
    mv "$scratch/clock.new" "$scratch/clock"
}
offset_to() {
    local seconds
    seconds=$(($(date -d "$1" +%s) - $(date +%s)))
    [ "$seconds" -lt 0 ] || seconds=+$seconds
    offset=${seconds}s
}
shifted=(env "LD_PRELOAD=$faketime_library" FAKETIME_DONT_FAKE_MONOTONIC=1 DONT_FAKE_MONOTONIC=1 TZ=UTC)

clock_shows '2026-01-18 17:59:00 +0700'
seed=$target/debug/examples/seed
. examples/trial-mongod.sh
# Its threads wait by the monotonic clock, which stays the real one; without the fix being off their waits end at once, and spin.
start_mongod "$scratch" "$seed" \
    "${shifted[@]}" "FAKETIME_TIMESTAMP_FILE=$scratch/clock" FAKETIME_NO_CACHE=1 FAKETIME_FORCE_MONOTONIC_FIX=0
uri="mongodb://127.0.0.1:$port/auto_acct?replicaSet=trial"

# The project's own table. Only the places are this rehearsal's: database, destination, log; and the clock.
log=$scratch/batch-export.log
touch "$log"
{
    printf '%s\n' "LD_PRELOAD=$faketime_library" 'FAKETIME=@OFFSET@' 'FAKETIME_DONT_FAKE_MONOTONIC=1' 'DONT_FAKE_MONOTONIC=1' 'TZ=UTC'
    printf '%s\n' "BATCH_EXPORT_SPOOL_DIR=$scratch/spool"
    sed -e "s|^PATH=.*|PATH=$target/debug:/usr/bin:/bin|" -e "s|^MONGODB_URI=.*|MONGODB_URI=$uri|" \
        -e "s|^BATCH_EXPORT_DESTINATION=.*|BATCH_EXPORT_DESTINATION=file://$scratch/share|" -e '/^GOOGLE_/d' \
        -e "s|/var/log/batch-export/batch-export.log|$log|" crontab.example
} >"$scratch/table"

# Starts cron at the clock that was set last, in the place of the one that ran.
cron_starts() {
    stop_cron
    sed "s/@OFFSET@/$offset/" "$scratch/table" >"$scratch/tables/root"
    chmod 600 "$scratch/tables/root"
    say "cron starts; its clock shows $(by_hand date -d '+7 hours' '+%F %T') in Bangkok"
    "${shifted[@]}" "FAKETIME=$offset" cron -f </dev/null >"$scratch/cron.log" 2>&1 &
    cron=$!
}

# Runs a command as an operator would, at the same clock.
by_hand() {
    "${shifted[@]}" "FAKETIME=$offset" "PATH=$target/debug:$PATH" "MONGODB_URI=$uri" "BATCH_EXPORT_SPOOL_DIR=$scratch/spool" \
        "BATCH_EXPORT_DESTINATION=file://$scratch/share" "$@"
}

# Waits until the log has a line with $1 that it did not have before, and shows what was logged since the last time.
shown=0
expect() {
    local waited=0
    until tail -n "+$((shown + 1))" "$log" | grep -q -- "$1"; do
        kill -0 "$cron" 2>/dev/null || give_up "cron ended: $(cat "$scratch/cron.log")"
        [ "$waited" -lt 200 ] || give_up "nothing with '$1' in the log: $(tail -n 20 "$log"; cat "$scratch/cron.log")"
        waited=$((waited + 1))
        sleep 0.1
    done
    sleep 0.3
    tail -n "+$((shown + 1))" "$log"
    shown=$(wc -l <"$log")
}

# Runs `retry` by hand at $1, and wants $2 in its answer.
retry_at() {
    local answer
    clock_shows "$1"
    say "\`batch-export retry\` by hand at $(by_hand date -d '+7 hours' '+%F %T') in Bangkok"
    # The failure of a command is an answer too, to be shown before it is judged.
    answer=$(by_hand batch-export retry 2>&1) || true
    printf '%s\n' "$answer"
    case $answer in
        *"$2"*) ;;
        *) give_up "\`retry\` should have said '$2'" ;;
    esac
}

# Without this the delays would be those of another clock than the one shown.
the_database_agrees() {
    by_hand batch-export doctor 2>&1 | grep '^ok  *clock  ' || give_up "the database's clock is another one: $(by_hand batch-export doctor 2>&1)"
}

# The destination is away at 18:00 on day $1; leaves in `due` when the first retry is due, which must be five minutes later.
due=
fails_at_six_on() {
    say "$("$seed" "$uri" load examples/day.json "$1"), and the destination is not there at 18:00"
    mv "$scratch/share" "$scratch/share.gone"
    clock_shows "$1 17:59:57 +0700"
    cron_starts
    expect 'takes it up again'
    grep -q 'takes it up again at 18:05, in 5 minutes' "$log" || give_up "the log should say that the first retry is due at 18:05"
    due=$(by_hand batch-export status --date "$1" --output json | sed -n 's/.*"next_retry_at":"\([^"]*\)".*/\1/p')
    case $due in
        "$1"T11:05:*) ;;
        *) give_up "the first retry should be due five minutes after 18:00 (11:00 UTC), and not at $due" ;;
    esac
    mv "$scratch/share.gone" "$scratch/share"
    say 'The destination is back'
}

say "$("$seed" "$uri" load examples/day.json 2026-01-18)"
clock_shows '2026-01-18 17:59:57 +0700'
cron_starts
the_database_agrees
expect 'batch_2026-01-18  completed'
ls -l "$scratch/share"

say 'The trigger comes a second time, from a machine whose clock is some seconds behind'
offset_to '2026-01-18 17:59:57 +0700'
cron_starts
expect 'batch_2026-01-18  already_completed'

fails_at_six_on 2026-01-19
retry_at "$due - 1 minute" 'nothing due'
the_database_agrees
# A second more: the clock is set in whole seconds.
retry_at "$due + 1 second" 'batch_2026-01-19  completed  number 2  attempt 2'

fails_at_six_on 2026-01-20
say 'The clock jumps to the first line of the table after that'
clock_shows '2026-01-20 18:06:57 +0700'
cron_starts
expect 'batch_2026-01-20  completed  number 3  attempt 2'

ls -l "$scratch/share"
for day in 18 19 20; do
    [ -f "$scratch/share/batch_2026-01-$day.csv" ] || give_up "the file of 2026-01-$day is missing"
done
[ "$(find "$scratch/share" -type f | wc -l)" = 3 ] || give_up 'there should be exactly one file for each of the three days'
by_hand batch-export status --check || give_up 'something is left to do'
say 'Three days, three files, nothing left to do'
