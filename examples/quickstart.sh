#!/usr/bin/env bash
# Watch one day being exported, on this machine only: a real MongoDB with 42 journal entries, one CSV, and a second run that does nothing.
#
# Needs a Rust toolchain; finds or fetches the rest, or says what to install. Works in a scratch folder under target/ and removes it; the
# server is stopped on every way out. Built as the tests are built, so that either one saves the other's time.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() {
    printf '\n== %s\n' "$*"
}
give_up() {
    printf 'quickstart: %s\n' "$*" >&2
    exit 1
}

command -v cargo >/dev/null || give_up 'cargo is missing; install Rust (https://rustup.rs) and run this again'
command -v cc >/dev/null || give_up 'a C compiler is missing; install one (Debian: apt-get install build-essential) and run this again'

say 'Building batch-export'
cargo build --quiet --bin batch-export --example seed
target=${CARGO_TARGET_DIR:-target}
bin=$target/debug/batch-export
seed=$target/debug/examples/seed

scratch=$(mktemp -d "$target/quickstart.XXXXXX")
scratch=$(cd "$scratch" && pwd)
server=
clean_up() {
    [ -z "$server" ] || { kill "$server" && wait "$server"; } 2>/dev/null || true
    rm -rf "$scratch"
}
trap clean_up EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

mongod=$(sh examples/find-mongod.sh)
say "Starting $("$mongod" --version | head -n 1 | sed 's/db version v/MongoDB /') as a replica set of one node"
mkdir "$scratch/out" "$scratch/spool"
. examples/trial-mongod.sh
start_mongod "$scratch" "$seed"

# From here on, what an operator does: settings, then the commands. Nothing that is set on this machine already may reach the trial.
for name in $(compgen -e BATCH_EXPORT_; compgen -e GOOGLE_; compgen -e MONGODB_); do
    unset "$name"
done
export MONGODB_URI="mongodb://127.0.0.1:$port/auto_acct?replicaSet=trial"
export BATCH_EXPORT_DESTINATION="file://$scratch/out"
export BATCH_EXPORT_SPOOL_DIR="$scratch/spool"
date=2026-01-18

say "A day in the application: $("$seed" "$MONGODB_URI" load examples/day.json "$date")"

say 'batch-export init'
"$bin" init --quiet

say "batch-export run --date $date --output json"
"$bin" run --date "$date" --output json --quiet

say "The file: its header and its first lines of $(wc -l <"$scratch/out/batch_$date.csv")"
head -n 7 "$scratch/out/batch_$date.csv"

say 'The batch document, and the ledger that numbers the batches'
"$seed" "$MONGODB_URI" show exportbatches

say "batch-export run --date $date, a second time: it does nothing"
"$bin" run --date "$date" --quiet

say 'Stopping the server; the scratch folder goes with it'
