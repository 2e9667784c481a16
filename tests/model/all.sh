#!/bin/sh
# all.sh [--short] [MODEL...]: run every case of `cases` (or those of the models named: all.sh idempotent merge), compare
# with what is expected there, print one line each and a closing line; exit 1 on a surprise or when there was no case.
# --short leaves out what is marked `# long` there.
# As many at a time as there are processors.
cd "$(dirname "$0")" || exit 2

if [ "$1" = --one ]; then # --one "WANT FILE FLAGS": one case, its line
    # shellcheck disable=SC2086
    set -- ${2%# long}
    want=$1; shift
    line=$(./run.sh "$@")
    case $line in
        *errors=0*complete*) got=holds ;;
        *errors=1*assertion*) got=fails ;;
        *) got=UNCLEAR ;;
    esac
    [ "$got" = "$want" ] || got="$got (EXPECTED $want)"
    echo "$got | $line"
    exit 0
fi

leave_out='^$'
if [ "$1" = --short ]; then
    leave_out='# long$'
    shift
fi
models=$(echo "${*:-idempotent merge transactional staged}" | tr ' ' '|')
results=$(mktemp) || exit 2
trap 'rm -f "$results"' EXIT
chosen=$(grep -E "^(holds|fails) ($models)\.pml( |$)" cases | grep -v -- "$leave_out")
echo "$chosen" | tr '\n' '\0' |
    xargs -0 -n 1 -P "$(nproc)" ./all.sh --one | tee "$results"
failed=$(grep -vc -E '^(holds|fails) \| ' "$results")
passed=$(grep -c -E '^(holds|fails) \| ' "$results")
wanted=$(echo "$chosen" | grep -c .)
[ $((passed + failed)) -eq "$wanted" ] || failed=$((wanted - passed))
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
