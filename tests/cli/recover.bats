#!/usr/bin/env bats
# oncesink-recover as a person meets it: answers, complaints, exit codes. The ledgers are made with sqlite3 from schema/,
# not by the product.

setup() {
    root=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
    recover=$root/build/${ONCESINK_PRESET:-debug}/oncesink-recover
    cd "$BATS_TEST_TMPDIR"
}

# A ledger of the job `orders` that has settled nothing yet.
make_ledger() {
    cat "$root"/schema/[0-9]*_*.sql >ledger.sql
    sqlite3 "$1" >/dev/null <<SQL
PRAGMA page_size = 4096;
PRAGMA journal_mode = WAL;
.read ledger.sql
PRAGMA application_id = $((0x4f4e4345));
PRAGMA user_version = $(ls "$root"/schema/[0-9]*_*.sql | wc -l);
INSERT INTO oncesink_ledger (id, uuid, job, created_wall_ms)
VALUES (1, '0123456789abcdef0123456789abcdef', 'orders', 1700000000000);
SQL
}

# Runs oncesink-recover with $@; answers in $output, complaints in $complaints.
run_it() {
    run bash -c '"$@" 2>complaints' -- "$recover" "$@"
    complaints=$(<complaints)
}

@test "a sound ledger is sound" {
    make_ledger job.db
    run_it verify job.db
    [ "$status" -eq 0 ]
    [ "$output" = sound ]
    [ -z "$complaints" ]
    run_it verify --json job.db
    [ "$status" -eq 0 ]
    [ "$output" = '{"findings":[],"sound":true}' ]
}

@test "what isn't so is told on stdout, a line each, and exits with 2" {
    make_ledger job.db
    sqlite3 job.db "INSERT INTO oncesink_input (topic, partition, first_offset, next_offset) VALUES ('a', 3, 0, 5);
                    UPDATE oncesink_ledger SET total_set_aside = 2"
    run_it verify job.db
    [ "$status" -eq 2 ]
    [ "${#lines[@]}" -eq 2 ]
    [[ ${lines[0]} == "next offset: 'a'[3]: nothing was read, but the next offset is 5"* ]]
    [[ ${lines[1]} == "totals: the total of records set aside is 2, there are 0" ]]
    run_it verify --json job.db
    [ "$status" -eq 2 ]
    [ "$(sqlite3 :memory: "SELECT json_array_length('${output//\'/\'\'}', '\$.findings')")" -eq 2 ]
}

@test "status tells people" {
    make_ledger job.db
    run_it status job.db
    [ "$status" -eq 0 ]
    [[ $output == *"job orders"* ]]
    [[ $output == *"none is running"* ]]
    [[ $output == *"in doubt     nothing"* ]]
}

@test "status tells machines" {
    make_ledger job.db
    run_it status --json job.db
    [ "$status" -eq 0 ]
    says() { sqlite3 :memory: "SELECT json_extract('$output', '\$.$1')"; }
    [ "$(says job)" = orders ]
    [ "$(says running)" = 0 ]
    [ "$(says totals.batches)" = 0 ]
    [ "$(says in_doubt)" = "" ]
}

@test "looking changes nothing" {
    make_ledger job.db
    before=$(sha256sum job.db)
    run_it verify job.db
    run_it status job.db
    [ "$before" = "$(sha256sum job.db)" ]
    [ ! -e job.db.lock ]
}

@test "a ledger in the middle of a person's write transaction can be looked at" {
    make_ledger job.db
    coproc sqlite3 job.db
    person=$COPROC_PID # bash forgets it when the person is gone
    echo "BEGIN IMMEDIATE; SELECT 'locked';" >&"${COPROC[1]}"
    read -r answer <&"${COPROC[0]}"
    [ "$answer" = locked ]
    run_it verify job.db
    [ "$status" -eq 0 ]
    echo ".quit" >&"${COPROC[1]}"
    wait "$person"
}

@test "what is no ledger is refused with 65, and says why" {
    run_it verify nowhere.db
    [ "$status" -eq 65 ]
    [[ $complaints == *"nowhere.db"*"No such file"* ]]
    echo "this has never been a database, however long one looks" >text
    run_it status text
    [ "$status" -eq 65 ]
    [[ $complaints == *"text: is not an SQLite database"* ]]
    sqlite3 theirs.db "CREATE TABLE theirs (a)"
    run_it verify theirs.db
    [ "$status" -eq 65 ]
    [[ $complaints == *"another program's database"* ]]
    make_ledger newer.db
    sqlite3 newer.db "PRAGMA user_version = 99"
    run_it verify newer.db
    [ "$status" -eq 65 ]
    [[ $complaints == *"newer version (schema 99"* ]]
}

@test "bad usage exits with 64, help and version with 0" {
    for line in "" "nothing" "verify" "verify a b" "status --nothing a" "verify --yes a" "backup a" "backup a b c" \
        "backup --yes a b" "reconcile a" "rebuild a" "resolve a" "reconcile --assume missing a b" "resolve --assume so a b"; do
        run_it $line
        [ "$status" -eq 64 ]
        [ -n "$complaints" ]
        [ -z "$output" ]
    done
    run_it --help
    [ "$status" -eq 0 ]
    [[ $output == *status*verify*backup*resolve*reconcile*rebuild* ]]
    run_it verify --help
    [ "$status" -eq 0 ]
    [[ $output == *--json* ]]
    for command in resolve reconcile rebuild; do
        run_it $command --help
        [ "$status" -eq 0 ]
        [[ $output == *"LEDGER CONF"*"--yes"*"Exit: "* ]]
    done
    run_it resolve --help
    [[ $output == *"--assume=delivered|missing"*"--output=TOPIC[PARTITION]"* ]]
    run_it --version
    [ "$status" -eq 0 ]
    [[ $output == "oncesink-recover "* ]]
}

@test "a backup is one file, sound, and never written over another" {
    make_ledger job.db
    run_it backup job.db copy.db
    [ "$status" -eq 0 ]
    [[ $output == *"sound"*"oncesink-recover reconcile copy.db CONF"* ]]
    [ "$(stat -c %a copy.db)" = 640 ]
    [ ! -e copy.db-wal ]
    run_it verify copy.db
    [ "$output" = sound ]
    before=$(sha256sum copy.db)
    run_it backup --json job.db copy.db
    [ "$status" -eq 64 ]
    [[ $complaints == *"copy.db is there already"* ]]
    [ "$before" = "$(sha256sum copy.db)" ]
    run_it backup --json job.db other.db
    [ "$(sqlite3 :memory: "SELECT json_extract('$output', '\$.sound')")" = 1 ]
    run_it backup job.db nowhere/copy.db
    [ "$status" -eq 1 ]
}

@test "a backup of what isn't sound says so" {
    make_ledger job.db
    sqlite3 job.db "UPDATE oncesink_ledger SET total_set_aside = 2"
    run_it backup job.db copy.db
    [ "$status" -eq 2 ]
    [[ $complaints == *"the total of records set aside is 2"* ]]
    [ -e copy.db ]
}

@test "what mends a ledger looks at its settings and its lock first" {
    make_ledger job.db
    printf '%s\n' "job.name = orders" "bootstrap.servers = 127.0.0.1:1" "input.topics = a" >good.conf
    printf '%s\n' "job.name = others" "bootstrap.servers = 127.0.0.1:1" "input.topics = a" >other.conf
    echo "nonsense = 1" >bad.conf
    for command in resolve reconcile; do
        run_it $command job.db nowhere.conf
        [ "$status" -eq 78 ]
        run_it $command job.db bad.conf
        [ "$status" -eq 78 ]
        [[ $complaints == *"bad.conf:1"* ]]
        run_it $command job.db other.conf
        [ "$status" -eq 78 ]
        [[ $complaints == *"belongs to the job 'orders'"* ]]
        run_it $command nowhere.db good.conf
        [ "$status" -eq 65 ]
        [ ! -e nowhere.db ]
    done
    run_it rebuild job.db good.conf
    [ "$status" -eq 64 ]
    [[ $complaints == *"nothing is written over"* ]]
    touch job.db.lock
    coproc flock_it { exec python3 -c "
import fcntl, os, struct, sys
file = open('job.db.lock', 'r+')
fcntl.fcntl(file, 37, struct.pack('hhqqi', fcntl.F_WRLCK, 0, 0, 0, 0))
print('locked', flush=True)
sys.stdin.read()"; }
    read -r answer <&"${flock_it[0]}"
    [ "$answer" = locked ]
    run_it reconcile job.db good.conf
    [ "$status" -eq 75 ]
    [[ $complaints == *"holds its lock"* ]]
    exec {flock_it[1]}>&-
}
