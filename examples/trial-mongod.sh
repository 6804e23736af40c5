# shellcheck shell=bash
# A MongoDB for a trial, as a replica set of one node on a free port. Read by the scripts beside it (`.`), never run by itself.
#
#     start_mongod FOLDER SEED [COMMAND...]
#
# FOLDER gets its data and its log; SEED is the program that makes it a replica set; COMMAND, such as `env` with a clock of its own, is put
# before mongod. Sets `server` (the process, which the caller stops on every way out) and `port`; ends the caller with a message when
# there is no server to be had.
start_mongod() {
    local folder=$1 seed=$2 mongod
    shift 2
    mongod=$(sh examples/find-mongod.sh) || exit
    mkdir "$folder/db"
    # The server may be slower than the first look for its words.
    : >"$folder/mongod.log"
    for _ in 1 2 3 4 5; do
        port=$((20000 + RANDOM % 10000))
        "$@" "$mongod" --replSet trial --port "$port" --bind_ip 127.0.0.1 --nounixsocket --dbpath "$folder/db" --oplogSize 64 \
            --wiredTigerCacheSizeGB 0.25 --setParameter diagnosticDataCollectionEnabled=false \
            </dev/null >"$folder/mongod.log" 2>&1 &
        server=$!
        until grep -q 'Waiting for connections' "$folder/mongod.log"; do
            # A port that somebody else has ends the server: another one is tried.
            kill -0 "$server" 2>/dev/null || { server= && break; }
            sleep 0.1
        done
        [ -z "$server" ] || break
    done
    if [ -z "$server" ]; then
        tail -n 5 "$folder/mongod.log" >&2
        printf '%s: mongod does not start; its last words are above\n' "$0" >&2
        exit 1
    fi
    "$seed" "mongodb://127.0.0.1:$port/?directConnection=true" initiate "127.0.0.1:$port"
}
