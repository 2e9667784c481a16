#!/usr/bin/env bats
# oncesinkd's settings and options as a person meets them: answers, complaints, exit codes.
# No Kafka: nothing here gets as far as asking a broker.

setup() {
    root=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
    oncesinkd=$root/build/${ONCESINK_PRESET:-debug}/oncesinkd
    cd "$BATS_TEST_TMPDIR"
    cat >job.conf <<'CONF'
job.name = orders
bootstrap.servers = localhost:9092
input.topics = orders
CONF
}

# Runs oncesinkd with $@; answers in $output, complaints in $complaints.
run_it() {
    run bash -c '"$@" 2>complaints' -- "$oncesinkd" "$@"
    complaints=$(<complaints)
}

# The one complaint holds each of $@.
complains_of() {
    [ "$(wc -l <complaints)" -eq 1 ] || { echo "not one line: $complaints"; return 1; }
    for words in "$@"; do
        [[ $complaints == *"$words"* ]] || { echo "no '$words' in: $complaints"; return 1; }
    done
}

@test "a sound file is checked, and nothing is complained of" {
    run_it --check job.conf
    [ "$status" -eq 0 ]
    [ -z "$complaints" ]
    [[ $output == *"job.name = orders  # job.conf:1"* ]]
    [[ $output == *"batch.interval.ms = 1000  # default"* ]]
    [[ $output == *"ledger.path = orders.db  # default"* ]]
}

@test "checking makes no ledger" {
    run_it --check job.conf
    [ "$status" -eq 0 ]
    [ "$(ls)" = "$(printf 'complaints\njob.conf')" ]
}

@test "the example beside this file is sound" {
    run_it --check "$root/tests/cli/orders.conf"
    [ "$status" -eq 0 ]
    [ -z "$complaints" ]
}

@test "what --check prints can be read again" {
    run_it --check job.conf
    sed 's/  # [^#]*$//' <<<"$output" >again.conf
    run_it --check again.conf
    [ "$status" -eq 0 ]
    [[ $output == *"batch.interval.ms = 1000  # again.conf:"* ]]
}

@test "--set wins over the file, and says where it came from" {
    run_it --check -X batch.interval.ms=5s --set=job.name=other job.conf
    [ "$status" -eq 0 ]
    [[ $output == *"batch.interval.ms = 5000  # --set"* ]]
    [[ $output == *"job.name = other  # --set"* ]]
}

@test "--config FILE is FILE" {
    run_it --check --config job.conf
    [ "$status" -eq 0 ]
    [[ $output == *"job.name = orders"* ]]
}

@test "--help lists options and settings" {
    run_it --help
    [ "$status" -eq 0 ]
    [ -z "$complaints" ]
    for words in --set --check --until-end --status batch.interval.ms spark.speculation \
        "not built yet" bootstrap.servers; do
        [[ $output == *"$words"* ]] || { echo "no '$words'"; return 1; }
    done
}

@test "--version names the libraries" {
    run_it --version
    [ "$status" -eq 0 ]
    [[ $output == *"oncesinkd "* && $output == *librdkafka* && $output == *SQLite* ]]
}

@test "an unknown name gets its place, the nearest name, and 78" {
    echo 'batch.intervall.ms = 7' >>job.conf
    run_it --check job.conf
    [ "$status" -eq 78 ]
    [ -z "$output" ]
    complains_of job.conf:4 "'batch.intervall.ms'" "'batch.interval.ms'"
}

@test "a wrong value gets its place and what it must be" {
    echo 'batch.interval.ms = soon' >>job.conf
    run_it --check job.conf
    [ "$status" -eq 78 ]
    complains_of job.conf:4 batch.interval.ms soon "whole number"
}

@test "what the protocol fixes is refused with the reason" {
    run_it --check -X producer.acks=1 job.conf
    [ "$status" -eq 78 ]
    complains_of --set producer.acks "in-sync"
}

@test "what librdkafka sees only when a client is made is found by --check" {
    run_it --check -X security.protocol=ssl -X ssl.ca.location=/nowhere.pem job.conf
    [ "$status" -eq 78 ]
    [ -z "$output" ]
    [[ $complaints == *ssl.ca.location* ]]
}

@test "what isn't built yet is refused" {
    for setting in pipeline.sql=x.sql batch.max.bytes=64MiB; do
        run_it --check -X "$setting" job.conf
        [ "$status" -eq 78 ]
        complains_of --set "${setting%%=*}" "not built yet"
    done
}

@test "a setting twice is refused" {
    printf 'fetch.max.records = 5\nmax.poll.records = 5\n' >>job.conf
    run_it --check job.conf
    [ "$status" -eq 78 ]
    complains_of job.conf:5 job.conf:4 max.poll.records fetch.max.records
}

@test "a loop of topics is refused" {
    run_it --check -X output.topic=orders job.conf
    [ "$status" -eq 78 ]
    complains_of output.topic "'orders'" input.topics
}

@test "a section, a line without '=' and a zero byte are refused with their line" {
    for line in '[kafka]' 'job.name orders' 'a\0b = c'; do
        # shellcheck disable=SC2059
        printf "\n$line\n" >bad.conf
        run_it --check bad.conf
        [ "$status" -eq 78 ]
        complains_of bad.conf:2
    done
}

@test "what must be set is asked for" {
    for left_out in job.name bootstrap.servers input.topics; do
        grep -v "^$left_out" job.conf >less.conf
        run_it --check less.conf
        [ "$status" -eq 78 ]
        complains_of "$left_out"
    done
}

@test "a file that isn't there is named" {
    run_it --check nowhere.conf
    [ "$status" -eq 78 ]
    complains_of "'nowhere.conf'"
}

@test "times at odds are a warning with both values" {
    run_it --check -X heartbeat.interval.ms=20s job.conf
    [ "$status" -eq 0 ]
    complains_of warning "heartbeat.interval.ms = 20000" "session.timeout.ms = 10000"
}

# What people bring along from Spark and Kafka: the name, a value in its form there, what it becomes.
source_names() {
    cat <<'NAMES'
spark.streaming.stopGracefullyOnShutdown  true     shutdown.graceful = true
spark.streaming.stopGracefullyOnShutdown  FALSE    shutdown.graceful = false
spark.streaming.gracefulStopTimeout       90s      shutdown.timeout.ms = 90000
spark.streaming.gracefulStopTimeout       2min     shutdown.timeout.ms = 120000
spark.streaming.gracefulStopTimeout       30000    shutdown.timeout.ms = 30000
spark.streaming.backpressure.enabled      true     backpressure.enabled = true
spark.streaming.backpressure.initialRate  2000     backpressure.initial.rate = 2000
spark.streaming.backpressure.pid.proportional  0.9 backpressure.pid.proportional = 0.9
spark.streaming.backpressure.pid.integral 0.1      backpressure.pid.integral = 0.1
spark.streaming.backpressure.pid.derived  0.05     backpressure.pid.derived = 0.05
spark.streaming.backpressure.pid.minRate  250      backpressure.pid.min.rate = 250
spark.streaming.kafka.maxRatePerPartition 500      rate.max.per.partition = 500
spark.streaming.kafka.minRatePerPartition 2        rate.min.per.partition = 2
spark.streaming.kafka.consumer.poll.ms    5000     fetch.timeout.ms = 5000
spark.streaming.ui.retainedBatches        1000     ledger.keep.batches = 1000
spark.task.maxFailures                    8        task.max.failures = 8
spark.speculation                         true     speculation.enabled = true
spark.speculation.quantile                0.9      speculation.quantile = 0.9
spark.speculation.multiplier              3        speculation.multiplier = 3
spark.speculation.interval                50ms     speculation.interval.ms = 50
spark.speculation.minTaskRuntime          1s       speculation.min.runtime.ms = 1000
kafka.max.poll.records                    500      fetch.max.records = 500
max.poll.records                          500      fetch.max.records = 500
kafka.session.timeout.ms                  20000    session.timeout.ms = 20000
session.timeout.ms                        20s      session.timeout.ms = 20000
heartbeat.interval.ms                     6000     heartbeat.interval.ms = 6000
kafka.heartbeat.interval.ms               6000     heartbeat.interval.ms = 6000
max.poll.interval.ms                      300000   max.poll.interval.ms = 300000
kafka.request.timeout.ms                  40000    request.timeout.ms = 40000
request.timeout.ms                        40000    request.timeout.ms = 40000
processing.guarantee            exactly_once_v2    delivery.mode = transactional
errors.tolerance                          all      on.bad.record = set-aside
errors.tolerance                          none     on.bad.record = stop
errors.deadletterqueue.topic.name         dead     error.topic = dead
input.start                               latest   auto.offset.reset = latest
auto.offset.reset                         earliest auto.offset.reset = earliest
kafka.isolation.level             read_committed   isolation.level = read_committed
kafka.group.id                            mine     group.id = mine
NAMES
}

@test "every name that people bring along is accepted, in its own form" {
    while read -r name value becomes; do
        { cat job.conf; echo "$name = $value"; } >brought.conf
        run_it --check brought.conf
        [ "$status" -eq 0 ] || { echo "$name = $value: $complaints"; return 1; }
        [ -z "$complaints" ] || { echo "$name = $value: $complaints"; return 1; }
        [[ $output == *"$becomes  # brought.conf:4"* ]] ||
            { echo "$name = $value: no '$becomes' in: $output"; return 1; }
    done < <(source_names)
    # What Kafka's clients know and the job fixes is accepted as it must be.
    for name in enable.auto.commit kafka.enable.auto.commit consumer.enable.auto.commit; do
        run_it --check -X "$name=false" job.conf
        [ "$status" -eq 0 ] && [ -z "$complaints" ]
        run_it --check -X "$name=true" job.conf
        [ "$status" -eq 78 ]
    done
}

@test "secrets are in no output, wherever they come from" {
    printf 'geheim\n' >password
    export ONCESINK_TEST_PASSWORD=geheim
    for value in geheim '${file:password}' '${env:ONCESINK_TEST_PASSWORD}'; do
        cp job.conf secret.conf
        printf 'sasl.password = %s\n' "$value" >>secret.conf
        run_it --check secret.conf
        [ "$status" -eq 0 ]
        [[ $output == *"sasl.password = [hidden]"* ]]
        [[ $output$complaints != *geheim* ]]
        printf 'sasl.password = %s\n' "$value" >>secret.conf
        run_it --check secret.conf
        [ "$status" -eq 78 ]
        [[ $output$complaints != *geheim* ]]
    done
    run_it --check -X 'log.level=${file:password}' job.conf
    [ "$status" -eq 78 ]
    [[ $output$complaints != *geheim* ]]
}

@test "a secret on the command line is warned of: everybody can read it there" {
    printf 'geheim\n' >password
    for name in sasl.password consumer.sasl.password ssl.key.password; do
        run_it --check -X "$name=geheim" job.conf
        [ "$status" -eq 0 ]
        complains_of warning "--set $name" '${file:PATH}'
        [[ $output$complaints != *geheim* ]]
    done
    run_it --check -X 'sasl.password=${file:password}' -X client.id=geheim job.conf
    [ "$status" -eq 0 ] && [ -z "$complaints" ]
}

@test "bad usage is one line and 64" {
    bad() {
        run_it "$@"
        [ "$status" -eq 64 ] && [ -z "$output" ] || { echo "$* gave $status: $output"; return 1; }
        complains_of "${@: -1}"
    }
    bad job.conf --wrong
    bad job.conf --set
    bad job.conf --set novalue
    bad job.conf -q
    bad job.conf other.conf
    run_it
    [ "$status" -eq 64 ]
    complains_of FILE
}
