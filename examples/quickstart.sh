#!/usr/bin/env bash
# Watch one day being exported, on this machine only: a real MongoDB with 42 journal entries, one CSV, and a second run that does nothing.
#
#     examples/quickstart.sh [--verbose]      --verbose shows the JSON result and the documents of the database too
#
# Needs Rust; needs.sh looks whether it is new enough, and gets or names the rest, before anything is compiled. Works in a scratch folder
# under target/ and removes it, the server with it, on every way out; a copy of the file stays. The libraries are built as for the tests:
# either one saves the other's time.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() {
    printf '\n== %s\n' "$*"
}
give_up() {
    printf 'quickstart: %s\n' "$*" >&2
    exit 1
}

verbose=
case ${1-} in
    '') ;;
    -v | --verbose) verbose=yes ;;
    *) give_up 'usage: examples/quickstart.sh [--verbose]' ;;
esac

sh examples/needs.sh trial

target=${CARGO_TARGET_DIR:-target}
[ -x "$target/debug/batch-export" ] || say 'Building batch-export: the first time takes some minutes'
cargo build --quiet --bin batch-export --example seed
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
file=batch_$date.csv

# Shows a command line of the program as it is typed, and its result. The log is shown when it fails.
batch_export() {
    printf '$ batch-export %s\n' "$*"
    "$bin" "$@" 2>"$scratch/log" || { local code=$? && cat "$scratch/log" >&2 && give_up "it ended with code $code"; }
}
documents() {
    [ -z "$verbose" ] || { say "The documents of $1" && "$seed" "$MONGODB_URI" show "$1"; }
}

say "The application: $("$seed" "$MONGODB_URI" load examples/day.json "$date"), in a MongoDB of its own"
documents exportqueues
say 'Once: the collections and indexes that are needed'
batch_export init
say 'The day: one pass, as the scheduler starts it at 18:00'
batch_export run --date "$date"
say "The file: its header and the first of its $(($(wc -l <"$scratch/out/$file") - 1)) rows"
head -n 4 "$scratch/out/$file"
# A file of the program can only be read, and a copy of it is replaced the next time.
install -m 644 "$scratch/out/$file" "$target/quickstart.csv"
say 'Once more: it does nothing, because the day is done'
batch_export run --date "$date"
if [ -n "$verbose" ]; then
    say 'The same result for programs'
    batch_export run --date "$date" --output json
fi
documents exportbatches
documents exportlogs
say 'Afterwards: what happened on which day'
batch_export status --date "$date"

say 'That was it; the server is stopped and its folder removed'
cat <<END
The file is kept: $target/quickstart.csv
41 of 42: one entry was approved at 18:20, after the cut-off, and belongs to the next day; one was left over from the day before.

Go on: README.md, "Install" and "Configure" for your own database; examples/quickstart.sh --verbose for the documents.
END
