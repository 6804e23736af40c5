#!/usr/bin/env bash
# Runs the whole test suite against another mongod, 5.0 or newer: examples/compat.sh PATH_TO_MONGOD [TEST...]
# Further arguments choose tests by name, as those of `cargo test` do. The exit code is that of the tests.
set -euo pipefail

mongod=${1:?usage: examples/compat.sh PATH_TO_MONGOD [TEST...]}
shift
# Absolute: the tests run in folders of their own.
BATCH_EXPORT_TEST_MONGOD=$(realpath "$mongod")
export BATCH_EXPORT_TEST_MONGOD
cd "$(dirname "$0")/.."
sh examples/find-mongod.sh >/dev/null
printf 'compat: %s\n' "$("$BATCH_EXPORT_TEST_MONGOD" --version | head -n 1)"
cargo test --locked --test suite -- "$@"
