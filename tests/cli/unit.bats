#!/usr/bin/env bats
# The systemd unit, looked at without a running systemd.

setup() {
    root=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
    build=$root/build/${ONCESINK_PRESET:-debug}
    source=$root/tools/systemd/oncesinkd@.service
    cd "$BATS_TEST_TMPDIR"
    # As an instance, with the program where it lies now.
    sed "s|^ExecStart=oncesinkd|ExecStart=$build/oncesinkd|" "$source" >oncesinkd@orders.service
}

# The seconds of a setting of the unit.
seconds_of() {
    sed -n "s/^$1=\([0-9]*\)s$/\1/p" "$source"
}

@test "systemd understands all of it" {
    run systemd-analyze verify ./oncesinkd@orders.service
    echo "$output"
    [ "$status" -eq 0 ]
    [ -z "$output" ]
}

@test "it exposes little, no more than it says" {
    run systemd-analyze security --offline=true --threshold=15 --no-pager ./oncesinkd@orders.service
    echo "$output"
    [ "$status" -eq 0 ]
    [[ $output =~ "Overall exposure level for oncesinkd@orders.service: "([0-9.]+) ]]
    score=${BASH_REMATCH[1]}
    # Other versions of systemd count otherwise; what is stated is 252's.
    if systemctl --version | grep -q '^systemd 252 '; then
        grep -qF "exposure $score of 10" "$source"
        grep -qF "exposure $score of 10" "$root/README.md"
    fi
}

@test "a stop is given more time than the service takes for it, and a sign of life more than a call" {
    printf 'job.name = orders\nbootstrap.servers = localhost:9092\ninput.topics = orders\n' >job.conf
    graceful_ms=$("$build/oncesinkd" --check job.conf | sed -n 's/^shutdown.timeout.ms = \([0-9]*\) .*/\1/p')
    [ "$graceful_ms" -gt 0 ]
    # The longest call: sending a transaction's offsets, and then the watchdog's patience with it.
    longest_ms=0
    for name in OFFSETS_MS HANG_MS; do
        ms=$(sed -n "s/^ *$name = \([0-9]*\),.*/\1/p" "$root/src/transaction.c")
        longest_ms=$((longest_ms + ms))
    done
    [ "$longest_ms" -ge 30000 ]
    [ $(($(seconds_of TimeoutStopSec) * 1000)) -gt $((graceful_ms + longest_ms)) ]
    [ $(($(seconds_of WatchdogSec) * 1000)) -gt "$longest_ms" ]
}

@test "what it doesn't start again is what a person must look at" {
    grep -qx 'RestartPreventExitStatus=64 65 77 78' "$source"
    grep -qx 'Type=notify' "$source"
}

@test "it is installed with its program and its user" {
    cmake --install "$build" --prefix "$PWD/there" >/dev/null
    cmp "$source" there/lib/systemd/system/oncesinkd@.service
    [ -x there/sbin/oncesinkd ]
    [ -x there/bin/oncesink-recover ]
    [ -x there/bin/oncesink-simulate ]
    mkdir -p sysroot/usr/lib/sysusers.d sysroot/etc
    cp there/lib/sysusers.d/oncesink.conf sysroot/usr/lib/sysusers.d/
    systemd-sysusers --root="$PWD/sysroot"
    grep -q '^oncesink:' sysroot/etc/passwd
    grep -q '^oncesink:' sysroot/etc/group
}
