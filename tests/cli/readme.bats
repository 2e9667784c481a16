#!/usr/bin/env bats
# What README.md says that a program can be asked: its examples, its rule table, its table of names.

setup() {
    root=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
    build=$root/build/${ONCESINK_PRESET:-debug}
    PATH=$build:$PATH
    cd "$BATS_TEST_TMPDIR"
}

@test "the examples answer as they are printed" {
    awk '/^```console$/ { on = 1; next } /^```$/ { on = 0 } on' "$root/README.md" >examples
    sed -n 's/^\$ //p' examples >commands
    [ "$(wc -l <commands)" -ge 7 ]
    while IFS= read -r command; do
        printf '$ %s\n' "$command"
        bash -c "$command"
    done <commands >answers
    diff examples answers
}

# The rows of the table under the heading $1, cell by cell, tabs between.
table() {
    awk -v heading="## $1" '$0 == heading { on = 1; next } /^## / { on = 0 } on && /^\|/' "$root/README.md" |
        sed '1,2d; s/^| *//; s/ *|$//; s/ *| */\t/g'
}

# What a batch takes of 700, 200 and 100 records with these settings, whether it is first or later, and the rate.
takes() {
    local set=$1 when=$2 rate=$3 switch=off initial=0 caps=0,0,0 answer
    [[ $set != *"(2)"* ]] || switch=on
    [[ $set != *"(3)"* ]] || initial=100
    [[ $set != *"(4)"* ]] || caps=50,50,50
    answer=$(oncesink-simulate split <<<"x 2000 $switch $when $rate $initial $caps 1,1,1 0,0,0 700,200,100")
    case $answer in
    "x -") echo 700,200,100 ;;
    *) echo "${answer#x }" ;;
    esac
}

@test "the rule table is what the program does" {
    rows=0
    while IFS=$'\t' read -r set rule first later rated; do
        [ "$(takes "$set" first -1)" = "$first" ] || { echo "$set, first"; return 1; }
        [ "$(takes "$set" later -1)" = "$later" ] || { echo "$set, later"; return 1; }
        [ "$(takes "$set" later 333)" = "$rated" ] || { echo "$set, with a rate"; return 1; }
        [ -n "$rule" ]
        rows=$((rows + 1))
    done < <(table "How much a batch takes")
    [ "$rows" -eq 6 ]
}

# The names in a cell, one a line, without the backticks.
names_in() { grep -o '`[^`]*`' <<<"$1" | tr -d '`'; }

@test "every name in the table of names is taken, and becomes what the table says" {
    printf 'job.name = orders\nbootstrap.servers = localhost:9092\ninput.topics = orders\n' >job.conf
    oncesinkd --help >help
    names=0
    while IFS=$'\t' read -r theirs ours _; do
        mapfile -t here < <(names_in "$ours")
        mapfile -t brought < <(names_in "$theirs")
        for i in "${!brought[@]}"; do
            name=${brought[i]%%=*}
            # The table's value, or else our default.
            target=${here[i]:-${here[0]:-${name#kafka.}}}
            target=${target%% =*}
            grep -q "^  $target = " help || { echo "no setting is called '$target'"; return 1; }
            value=$(sed -n "s/^  $target = \([^ ]*\) .*/\1/p" help)
            case ${brought[i]} in
            *=*) value=${brought[i]#*=} ;;
            *gracefulStopTimeout) value=30s ;;
            esac
            echo "$name = $value" | cat job.conf - >brought.conf
            oncesinkd --check brought.conf >checked 2>complaints || { cat complaints; return 1; }
            [ ! -s complaints ] || { cat complaints; return 1; }
            if ! grep -A3 "^  $target = " help | grep -q "not built yet"; then
                grep -q "^$target = .*# brought.conf:4" checked || { echo "$name isn't $target"; return 1; }
            fi
            names=$((names + 1))
        done
    done < <(table "Coming from Spark")
    [ "$names" -ge 25 ]
}

@test "every other name that --help knows for a setting of Spark's is in the table" {
    oncesinkd --help | grep -o 'spark\.[A-Za-z.]*' | sort -u >known
    [ "$(wc -l <known)" -ge 15 ]
    while read -r name; do
        grep -qF "\`$name\`" "$root/README.md" || { echo "$name is missing"; return 1; }
    done <known
}
