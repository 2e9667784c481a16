#!/usr/bin/env bats
# oncesink-simulate as a person or a program meets it: its answers against the tables of tests/conformance, complaints
# with the line, exit codes, streams.

setup() {
    root=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
    simulate=$root/build/${ONCESINK_PRESET:-debug}/oncesink-simulate
    tables=$root/tests/conformance
    cd "$BATS_TEST_TMPDIR"
}

# Runs oncesink-simulate with $@ on standard input; answers in $output, complaints in $complaints.
run_it() {
    run bash -c '"$@" 2>complaints' -- "$simulate" "$@"
    complaints=$(<complaints)
}

# The one complaint begins as $1 says and holds each of the rest.
complains_of() {
    [ "$status" -eq 1 ] || { echo "exit $status"; return 1; }
    [ "$(wc -l <complaints)" -eq 1 ] || { echo "not one line: $complaints"; return 1; }
    [[ $complaints == "oncesink-simulate: $1"* ]] || { echo "not '$1': $complaints"; return 1; }
    for words in "${@:2}"; do
        [[ $complaints == *"$words"* ]] || { echo "no '$words' in: $complaints"; return 1; }
    done
}

# A table's questions, with its comments, and its answers.
rate_questions() { awk '/^#|^new/ { print; next } /^bad/ { NF = 6; print; next } { NF = 4; print }' "$1"; }
rate_answers() { awk '/^#|^new/ { next } /^bad/ { print $7; next } { print NF == 5 ? $5 : $5 " " $6 }' "$1"; }
split_questions() { sed '/^#/!s/ [^ ]*$//' "$1"; }
split_answers() { awk '!/^#/ { print $1, $NF }' "$1"; }

@test "every line of every table agrees, to the bit" {
    for name in rate spark-rate split spark-split; do
        kind=${name#spark-}
        "${kind}_questions" "$tables/$name.txt" >questions
        "${kind}_answers" "$tables/$name.txt" >answers
        run_it "$kind" <questions
        [ "$status" -eq 0 ]
        [ -z "$complaints" ]
        diff answers - <<<"$output"
        echo "$name: $(wc -l <answers)"
    done
    [ "$(wc -l <answers)" -eq 200 ]
}

@test "it takes CR LF, tabs, blank lines, comments, and no newline at the end" {
    printf '\xef\xbb\xbf# a comment\r\n\r\n \t\r\n  # another\nnew 20 1 0 0 10\r\n0\t10 10  0\r\n10 10 10 0' >questions
    run_it rate <questions
    [ "$status" -eq 0 ]
    [ "$output" = $'-\n1000 1000' ]
    printf 'a 1000 off later -1 0 5 1 0 9\r\nb 1000 off later -1 0 0 1 0 9' >questions
    run_it split <questions
    [ "$status" -eq 0 ]
    [ "$output" = $'a 5\nb -' ]
}

@test "nothing is answered to nothing" {
    for kind in rate split; do
        run_it $kind </dev/null
        [ "$status" -eq 0 ] && [ -z "$output" ] && [ -z "$complaints" ]
    done
}

@test "a bad line of rate is named, and what came before is answered" {
    bad() {
        printf 'new 20 1 0 0 10\n\n0 10 10 0\n%b\n10 10 10 0\n' "$1" >questions
        run_it rate <questions
        [ "$output" = - ] || { echo "answered: $output"; return 1; }
        complains_of "line 4: " "$2" || { echo "to: $1"; return 1; }
    }
    bad '1 2 3' 'DELAY_MS is missing'
    bad '1 2 3 4 5' "'5' is one word too many"
    bad '1 x 3 4' "RECORDS must be a whole number of 64 bits, not 'x'"
    bad '1 2.5 3 4' "'2.5'"
    bad '1 9223372036854775808 3 4' "'9223372036854775808'"
    bad '-9223372036854775809 2 3 4' TIME_MS
    bad '1 2 3 4\r5' "'4?5'"
    bad 'new' 'INTERVAL_MS is missing'
    bad 'new 20 1 0 0' 'MIN_RATE is missing'
    bad 'new 20 1 0 0 10 10' 'one word too many'
    bad 'new 0 1 0 0 10' 'above 0'
    bad 'new 20 -1 0 0 10' 'not below'
    bad 'new 20 nan 0 0 10' "P must be a number, not 'nan'"
    bad 'new 20 1 0x1 0 10' "I must be a number"
    bad 'new 20 1 0 1e999 10' "D must be a number"
    bad 'new 20 1 0 0 inf' "MIN_RATE must be a number"
    bad 'bad 1 2 3 4' 'MIN_RATE is missing'
    bad 'nwe 20 1 0 0 10' "not 'nwe'"
    bad '1 2 \00 3 4' 'NUL'
    bad '# \00' 'NUL'
    run_it rate <<<'0 10 10 0'
    complains_of "line 1: " "'new'"
}

@test "a bad line of split is named" {
    bad() {
        printf '# a comment\na 1000 off later -1 0 5 1 0 9\n%b\n' "$1" >questions
        run_it split <questions
        [ "$output" = 'a 5' ] || { echo "answered: $output"; return 1; }
        complains_of "line 3: " "$2" || { echo "to: $1"; return 1; }
    }
    bad 'a' 'INTERVAL_MS is missing'
    bad 'a -1 off later -1 0 5 1 0 9' 'INTERVAL_MS must not be below 0'
    bad 'a 1 of later -1 0 5 1 0 9' "on, off must stand here, not 'of'"
    bad 'a 1 on latest -1 0 5 1 0 9' "not 'latest'"
    bad 'a 1 on later - 0 5 1 0 9' "RATE must be"
    bad 'a 1 on later 1 0 5 1 0' 'LATEST is missing'
    bad 'a 1 on later 1 0 5 1 0 9 9' "'9' is one word too many"
    bad 'a 1 on later 1 0 5,5 1 0 9' 'MAX has 2 partitions, MIN has 1'
    bad 'a 1 on later 1 0 5,5 1,1 0,0 9' 'LATEST has 1'
    bad 'a 1 on later 1 0 5, 1,1 0,0 9,9' 'MAX must be whole numbers'
    bad 'a 1 on later 1 0 5 1 0 9223372036854775808' 'LATEST must be whole numbers'
    bad 'a 1 on later 1 0 5,5 1,-1 0,0 9,9' 'MIN must not be below 0, as it is for partition 1'
    bad 'a 1 on later 1 0 5 1 -3 9' 'CURRENT must not be below 0'
    bad '\00' 'NUL'
}

@test "numbers as large as there are don't overflow" {
    most=9223372036854775807
    run_it split <<<"a $most off later -1 0 $most,$most $most,0 0,$most $most,$most"
    [ "$status" -eq 0 ]
    [ "$output" = "a $most,$most" ]
    run_it rate <<<"new 1 1 0 0 1
-$most 1 1 0
0 $most 1 0
$most $most 1 $most"
    [ "$status" -eq 0 ]
    [ "$output" = $'-\n-\n9.2233720368547758e+21 9223372036854775807' ]
}

@test "a partition more than a hundred is nothing special: lines of any length" {
    count=5000
    list() { yes "$1" | head -n $count | paste -sd,; }
    { echo "wide 1000 off later -1 0 $(list 7) $(list 1) $(list 0) $(list 9)"
      echo "short 1000 off later -1 0 7 1 0 9"
      echo "wide 1000 off later -1 0 $(list 8) $(list 1) $(list 0) $(list 9)"; } >questions
    run_it split <questions
    [ "$status" -eq 0 ]
    [ "$output" = "wide $(list 7)"$'\n'"short 7"$'\n'"wide $(list 8)" ]
    { printf '#'; head -c 3000000 /dev/zero | tr '\0' x; echo; echo 'short 1000 off later -1 0 7 1 0 9'; } >questions
    run_it split <questions
    [ "$output" = 'short 7' ]
}

@test "memory doesn't grow with the input" {
    awk 'BEGIN { print "new 1000 1 0.2 0 100"; for (i = 1; i <= 200000; i++) print i * 1000, 5000, 700, 3 }' >questions
    bash -c "ulimit -v 100000; '$simulate' rate" <questions >answers
    [ "$(wc -l <answers)" -eq 200000 ]
}

@test "it answers line by line: a program can talk with it" {
    coproc TALK { "$simulate" rate; }
    talking=$TALK_PID
    ask() {
        printf '%s\n' "$1" >&"${TALK[1]}"
        read -r -t 20 answer <&"${TALK[0]}"
        [ "$answer" = "$2" ] || { echo "to $1: $answer"; return 1; }
    }
    ask $'new 20 1 0 0 10\n0 10 10 0' -
    ask '10 10 10 0' '1000 1000'
    ask 'bad 0 1 0 0 10' refused
    exec {TALK[1]}>&-
    wait "$talking"
}

@test "answers that can't be written are an error" {
    echo 'bad 0 1 0 0 10' >questions
    for kind in rate split; do
        [ $kind = rate ] || echo 'a 1000 off later -1 0 5 1 0 9' >questions
        run bash -c "'$simulate' $kind <questions 2>complaints >/dev/full"
        complaints=$(<complaints)
        complains_of "cannot write the answers: No space left"
        run bash -c "'$simulate' $kind <questions 2>complaints >&-"
        complaints=$(<complaints)
        complains_of "cannot write the answers: "
    done
    awk 'BEGIN { for (i = 0; i < 300000; i++) print "bad 0 1 0 0 10" }' >questions
    run bash -c "(set +e; '$simulate' rate <questions 2>complaints; echo \$? >code) | head -n 1"
    [ "$output" = refused ]
    status=$(<code) complaints=$(<complaints)
    complains_of "cannot write the answers: Broken pipe"
}

@test "an input that can't be read is an error" {
    run_it rate </
    complains_of "cannot read standard input: "
}

@test "--help tells, for each command too" {
    run_it --help
    [ "$status" -eq 0 ] && [ -z "$complaints" ]
    [[ $output == *rate* && $output == *split* && $output == *run* ]]
    run_it rate --help
    [ "$status" -eq 0 ]
    [[ $output == *"new INTERVAL_MS P I D MIN_RATE"* ]]
    run_it split --help
    [ "$status" -eq 0 ]
    [[ $output == *"first|later|capped"* ]]
    run_it run --help
    [ "$status" -eq 0 ]
    for words in --config --arrivals --speed --overhead --svg "SECOND RECORDS"; do
        [[ $output == *"$words"* ]] || { echo "no '$words'"; return 1; }
    done
    run_it --version
    [ "$status" -eq 0 ]
    [[ $output == "oncesink-simulate "* ]]
}

@test "bad usage is 64" {
    for usage in "" "rote" "rate file" "rate --x" "split a" "run" "run --config a --arrivals b" \
        "run x --config a --arrivals b --speed 1" "run --config a --arrivals b --speed 0" \
        "run --config a --arrivals b --speed fast" "run --config a --arrivals b --speed 1 --set x" \
        "run --config a --arrivals b --speed 1 --batches -1"; do
        # shellcheck disable=SC2086
        run_it $usage </dev/null
        [ "$status" -eq 64 ] || { echo "'$usage' gave $status"; return 1; }
        [ -z "$output" ] && [ -n "$complaints" ]
    done
}

# ── run ─────────────────────────────────────────────────────────────────────────────────────────

# The table's columns of $1 (a number from 1 on), batch by batch.
column() { awk -v c="$1" 'NR > 1 { if (NF == 0) exit; print $c }' <<<"$output" | paste -sd' '; }

load() { for second in $(seq "$1" "$2"); do echo "$second $3"; done; }

@test "500 records/s of three partitions at 10 s are 15000 a batch" {
    printf 'batch.interval.ms = 10s\nrate.max.per.partition = 500\n' >job.conf
    load 0 59 1000,1000,1000 >load
    run_it run --config job.conf --arrivals load --speed 2000 --batches 6
    [ "$status" -eq 0 ]
    [ -z "$complaints" ]
    [ "$(column 1)" = "10000 20000 30000 40000 50000 60000" ]
    [ "$(column 2)" = "$(for _ in 1 2 3 4 5 6; do echo 5000,5000,5000; done | paste -sd' ')" ]
    [ "$(column 3)" = "- - - - - -" ]
    [ "$(column 4)" = "cap cap cap cap cap cap" ]
    [ "$(column 5)" = "0 0 0 0 0 0" ]
    [ "$(column 6)" = "7500 7500 7500 7500 7500 7500" ]
    [ "$(column 7)" = "15000 30000 45000 60000 75000 90000" ]
    [[ $output == *"records:        90000 in "* ]]
    [[ $output == *"keeps up:       no; "* ]]
}

@test "back-pressure: all there is at first, then the speed, less what has piled up" {
    printf 'backpressure.enabled = true\n' >job.conf
    printf -- '-1 2500,2500\n0 1500,1500\n1 1500,1500\n2 1500,1500\n3 1500,1500\n4 1500,1500\n5 1500,1500\n' >load
    run_it run --config job.conf --arrivals load --speed 2000 --batches 5
    [ "$status" -eq 0 ]
    # What is there first (8000), takes 4 s. Ticks 2 and 3 s are late then; the second batch takes all there is as well
    # (12000, 6 s), and from then on there is a rate: 2000 - 0.2 x 3000 ms late x 2000/s / 1000 ms = 800, and so on.
    [ "$(column 2)" = "4000,4000 6000,6000 400,400 50,50 50,50" ]
    [ "$(column 3)" = "- - 800 100 100" ]
    [ "$(column 4)" = "none none estimator estimator estimator" ]
    [ "$(column 5)" = "0 3000 8000 7400 6450" ] # late ticks run one after another
    run_it run --config job.conf --set backpressure.initial.rate=1000 --set rate.max.per.partition=400 \
        --arrivals load --speed 2000 --batches 3
    [ "$(column 2)" = "400,400 400,400 400,400" ]
    [ "$(column 4)" = "cap cap cap" ]
    run_it run --config job.conf --set batch.interval.ms=0 --arrivals load --speed 2000
    [ "$status" -eq 78 ]
    run_it run --config job.conf --set rate.max.per.partition=400 --arrivals load --speed 2000 --batches 2
    [ "$(column 2)" = "4000,4000 400,400" ]
    run_it run --config job.conf --set rate.max.per.partition=400 --set rate.first.batch=capped \
        --arrivals load --speed 2000 --batches 2
    [ "$(column 2)" = "400,400 400,400" ]
}

@test "a load arrives evenly, seconds may be left out, and what came before the start is there" {
    printf 'batch.interval.ms = 250\n' >job.conf
    printf -- '-5 10,0\n-1 5,1\n# one second later\n1 100,9\n3 4,0\n' >load
    run_it run --config job.conf --arrivals load --speed 100000
    [ "$status" -eq 0 ]
    [ "$(column 1)" = "250 1250 1500 1750 2000 3250 3500 3750 4000" ]
    [ "$(column 2)" = "15,1 25,2 25,2 25,2 25,3 1,0 1,0 1,0 1,0" ]
    [ "$(column 4 | tr ' ' '\n' | sort -u)" = none ]
    [[ $output == *"backlog at end: 0 records"*"keeps up:       yes"* ]]
}

@test "late ticks run one after another, and more than ten of them collapse" {
    printf 'batch.interval.ms = 100\nbatch.max.records = 1000\n' >job.conf
    printf -- '-1 4000\n60 5\n' >load
    run_it run --config job.conf --arrivals load --speed 2000
    [ "$status" -eq 0 ]
    # 500 ms a batch: each tick is four later than the one before, until more than ten are missed.
    [ "$(column 1)" = "100 200 300 1600 60200 60400 60600 60800 61000" ]
    [ "$(column 5)" = "0 400 800 0 0 0 0 0 0" ]
    [[ $output == *"missed ticks:   12 collapsed"* ]]
    [[ ${lines[4]} == *" and 12 missed ticks" ]]
    [[ $output == *"scheduling 800 ms (batch 3)"* ]]
}

@test "batch.max.records is shared out, the minimum holds, caps are by topic and partition" {
    printf 'batch.max.records = 10\n' >job.conf
    echo '-1 50,30,20' >load
    run_it run --config job.conf --arrivals load --speed 1000 --batches 1
    [ "$(column 2) $(column 4)" = "5,3,2 records" ]
    printf 'input.topics = b,a\nrate.max.per.partition = a:1=7,b:0=3,*=1\nrate.min.per.partition = 2\n' >job.conf
    echo '-1 50,50,50,50' >load
    run_it run --config job.conf --arrivals load --speed 1000 --batches 1
    [ "$(column 2)" = "2,7,3,2" ] # a:0, a:1, b:0, b:1
    echo '-1 50,50,50' >load
    run_it run --config job.conf --arrivals load --speed 1000
    complains_of "load, line 1: 3 partitions can't be those of 2 input topics"
}

@test "the settings are oncesinkd's, and so are the complaints" {
    echo '0 5' >load
    for line in 'batch.intervall.ms = 5' 'rate.max.per.partition = many' 'batch.interval.ms = -1'; do
        echo "$line" >job.conf
        run_it run --config job.conf --arrivals load --speed 1
        [ "$status" -eq 78 ] && [ -z "$output" ]
        [[ $complaints == *"job.conf:1"*"${line%% *}"* ]]
    done
    run_it run --config nowhere.conf --arrivals load --speed 1
    [ "$status" -eq 78 ]
    run_it run --config "$root/tests/cli/orders.conf" --set rate.max.per.partition=2 --set input.topics=a \
        --arrivals load --speed 1000 --batches 1
    [ "$status" -eq 0 ]
    [ "$(column 2)" = 2 ]
}

@test "a bad line of the load is named" {
    : >job.conf
    bad() {
        printf '0 1,1\n1 1,1\n%b\n' "$1" >load
        run_it run --config job.conf --arrivals load --speed 1000
        complains_of "load, line 3: " "$2" || { echo "to: $1"; return 1; }
    }
    bad '1 1,1' 'must ascend'
    bad 'x 1,1' "SECOND must be a whole number"
    bad '1000000000001 1,1' "SECOND must be"
    bad '2' 'RECORDS are missing'
    bad '2 1' '1 partitions, the lines before had 2'
    bad '2 1,-1' 'below 0'
    bad '2 1,x' "not 'x'"
    bad '2 1,1 1' 'one word too many'
    bad '2 9223372036854775807,1' '64 bits'
    bad '2 \00' 'NUL'
    run_it run --config job.conf --arrivals nowhere --speed 1
    complains_of "cannot open 'nowhere': "
    run_it run --config job.conf --arrivals - --speed 1 </dev/null
    complains_of "standard input has no line with arrivals"
}

@test "with interval 0 a batch begins when the last has ended, and when a cap is worth a record" {
    printf 'batch.interval.ms = 0\ninput.topics = a\n' >job.conf
    printf -- '-1 500,500\n0 2000,0\n' >load
    run_it run --config job.conf --arrivals load --speed 2000
    [ "$status" -eq 0 ]
    # 1000 records take half a second, in which 1000 more come, then 500 ms again: the last 2000 × 0 ms is what is left.
    [ "$(column 1)" = "0 500 1000" ]
    [ "$(column 2)" = "500,500 1000,0 1000,0" ]
    [[ $output == *"keeps up:       yes"* ]]
    printf -- '-1 3,2\n' >load
    run_it run --config job.conf --set rate.max.per.partition=a:0=10,a:1=2 --set rate.min.per.partition=0 \
        --arrivals load --speed 1000
    [ "$status" -eq 0 ]
    # Half a second is worth a record of the slower partition.
    [ "$(column 2)" = "3,1 0,1" ]
    [ "$(column 4)" = "cap none" ]
    printf -- '-1 1,1\n' >load
    run_it run --config job.conf --set rate.max.per.partition=a:0=10,a:1=0 --set rate.min.per.partition=0 \
        --arrivals load --speed 1000
    [ "$(column 2)" = "1,0" ]
    [[ $output == *"backlog at end: 1 records"* ]]
}

@test "machines get an object a line" {
    printf 'backpressure.enabled = true\nbackpressure.initial.rate = 100\n' >job.conf
    load 0 20 150,10 >load
    run_it run --config job.conf --arrivals load --speed 1000 --json
    [ "$status" -eq 0 ]
    python3 - "$output" <<'PYTHON'
import json, sys
*batches, summary = map(json.loads, sys.argv[1].splitlines())
assert [row["batch"] for row in batches] == list(range(1, len(batches) + 1)), batches
assert batches[0] == {"batch": 1, "tick_ms": 1000, "records": [93, 6], "rate": 100, "limited_by": "initial",
                      "scheduling_ms": 0, "processing_ms": 99, "left": 61, "missed_ticks": 0}, batches[0]
assert summary["batches"] == len(batches) and summary["limited_by"]["initial"] == 2, summary
assert summary["records"] == 21 * 160 == sum(sum(row["records"]) for row in batches), summary
assert summary["backlog"] == 0 and summary["keeps_up"] == "yes" and summary["settled_rate"] is None, summary
PYTHON
}

@test "the end comes when it is asked for, or when nothing more is taken" {
    printf 'rate.max.per.partition = a:0=1,a:1=0\nrate.min.per.partition = 0\ninput.topics = a\n' >job.conf
    printf -- '-1 2,5\n3 1,0\n10000000000 1,0\n' >load
    run_it run --config job.conf --arrivals load --speed 1000
    [ "$status" -eq 0 ]
    [ "$(column 2)" = "1,0 1,0 1,0 1,0" ] # partition 1 has no cap beside one that has: the minimum
    [[ $output == *"backlog at end: 5 records"* ]]
    run_it run --config job.conf --arrivals load --speed 1000 --seconds 2
    [ "$(column 1)" = "1000 2000" ]
}

@test "the picture is written, or it is an error" {
    printf 'rate.max.per.partition = 100\n' >job.conf
    load 0 20 150 >load
    run_it run --config job.conf --arrivals load --speed 1000 --svg run.svg
    [ "$status" -eq 0 ]
    python3 - <<'PYTHON'
import xml.etree.ElementTree as tree
root = tree.parse("run.svg").getroot()
texts = [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]
for word in ("records of a batch", "records per second", "delay, seconds", "time, seconds", "interval"):
    assert word in texts, (word, texts)
assert "nan" not in open("run.svg").read()
PYTHON
    run_it run --config job.conf --arrivals load --speed 1000 --svg nowhere/run.svg
    complains_of "cannot write 'nowhere/run.svg': "
    run_it run --config job.conf --arrivals load --speed 1000 --svg /dev/full
    complains_of "cannot write '/dev/full': No space"
}
