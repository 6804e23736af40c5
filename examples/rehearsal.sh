#!/usr/bin/env bash
# The rehearsal of 18:00: a real cron daemon with the lines of crontab.example, a real MongoDB, and a clock that is about to strike.
#
# What it shows: the batch of one day arriving at the cut-off; the trigger coming a second time and doing nothing; on the next day a
# destination that is not there at 18:00, recorded, and the batch being finished by the next `retry` once it is back.
#
# What is not as on a real evening, and why:
# - cron and the program see a shifted clock (libfaketime); the database does not, because leases and back-off follow the database's
#   clock and must not be cheated. So the first back-off is two seconds here instead of five minutes.
# - between the scenes the clock jumps: cron is stopped and started again at a later time.
# - cron reads its tables from fixed places. It runs in a mount namespace of its own where these hold only the rehearsal's table, so
#   that no job of this machine is started. That needs root.
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
for pair in cargo:rustup cron:cron faketime:faketime unshare:util-linux; do
    command -v "${pair%:*}" >/dev/null || give_up "${pair%:*} is missing; install it (Debian: apt-get install ${pair#*:})"
done
faketime_library=$(faketime -f +0 sh -c 'echo "$LD_PRELOAD"')
unshare --mount true || give_up 'this machine allows no mount namespace (unshare --mount); run this with more rights'

for name in $(compgen -e BATCH_EXPORT_ | grep -v TEST_MONGOD; compgen -e GOOGLE_; compgen -e MONGODB_); do
    unset "$name"
done
cargo build --quiet --bin batch-export --example seed
target=$(cd "${CARGO_TARGET_DIR:-target}" && pwd)
mongod=$(sh examples/find-mongod.sh)
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

mkdir "$scratch"/{db,share,spool,tables,nothing,run}
port=$((20000 + RANDOM % 10000))
"$mongod" --replSet trial --port "$port" --bind_ip 127.0.0.1 --nounixsocket --dbpath "$scratch/db" --oplogSize 64 \
    --wiredTigerCacheSizeGB 0.25 --setParameter diagnosticDataCollectionEnabled=false </dev/null >"$scratch/mongod.log" 2>&1 &
server=$!
until grep -q 'Waiting for connections' "$scratch/mongod.log"; do
    kill -0 "$server" 2>/dev/null || { server= && give_up "mongod does not start: $(tail -n 2 "$scratch/mongod.log")"; }
    sleep 0.1
done
seed=$target/debug/examples/seed
uri="mongodb://127.0.0.1:$port/auto_acct?replicaSet=trial"
"$seed" "mongodb://127.0.0.1:$port/?directConnection=true" initiate "127.0.0.1:$port"

# The project's own table. Only the places are this rehearsal's: database, destination, log; and the clock.
log=$scratch/batch-export.log
touch "$log"
{
    printf '%s\n' "LD_PRELOAD=$faketime_library" 'FAKETIME=@OFFSET@' 'FAKETIME_DONT_FAKE_MONOTONIC=1' 'DONT_FAKE_MONOTONIC=1' 'TZ=UTC'
    printf '%s\n' "BATCH_EXPORT_SPOOL_DIR=$scratch/spool" 'BATCH_EXPORT_RETRY_DELAYS=2s,15m,45m'
    sed -e "s|^PATH=.*|PATH=$target/debug:/usr/bin:/bin|" -e "s|^MONGODB_URI=.*|MONGODB_URI=$uri|" \
        -e "s|^BATCH_EXPORT_DESTINATION=.*|BATCH_EXPORT_DESTINATION=file://$scratch/share|" -e '/^GOOGLE_/d' \
        -e "s|/var/log/batch-export/batch-export.log|$log|" crontab.example
} >"$scratch/table"

# Starts cron when its clock shows $1 in Bangkok, in the place of the one that ran.
cron_at() {
    stop_cron
    local offset
    offset=$(($(date -d "$1 +0700" +%s) - $(date +%s)))
    [ "$offset" -lt 0 ] || offset=+$offset
    sed "s/@OFFSET@/${offset}s/" "$scratch/table" >"$scratch/tables/root"
    chmod 600 "$scratch/tables/root"
    say "cron starts; its clock shows $1 in Bangkok"
    TZ=UTC LD_PRELOAD=$faketime_library FAKETIME=${offset}s FAKETIME_DONT_FAKE_MONOTONIC=1 DONT_FAKE_MONOTONIC=1 \
        unshare --mount sh -c '
            mount --bind "$1/tables" /var/spool/cron/crontabs && mount --bind "$1/nothing" /etc/cron.d &&
            mount --bind /dev/null /etc/crontab && mount --bind "$1/run" /run && exec cron -f
        ' sh "$scratch" </dev/null >"$scratch/cron.log" 2>&1 &
    cron=$!
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

say "$("$seed" "$uri" load examples/day.json 2026-01-18)"
cron_at '2026-01-18 17:59:57'
expect 'batch_2026-01-18  completed'
ls -l "$scratch/share"

say 'The trigger comes a second time'
cron_at '2026-01-18 17:59:57'
expect 'batch_2026-01-18  already_completed'

say "$("$seed" "$uri" load examples/day.json 2026-01-19), and the destination is not there at 18:00"
mv "$scratch/share" "$scratch/share.gone"
cron_at '2026-01-19 17:59:57'
expect 'takes it up again'

say 'The destination is back; the clock jumps to the next retry'
mv "$scratch/share.gone" "$scratch/share"
cron_at '2026-01-19 18:06:57'
expect 'batch_2026-01-19  completed'
ls -l "$scratch/share"

[ "$(find "$scratch/share" -name 'batch_*.csv' | wc -l)" = 2 ] || give_up 'there should be exactly one file for each of the two days'
say 'Two days, two files, nothing left to do'
