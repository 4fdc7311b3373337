#!/bin/sh
# Runs everything `make test` promises and ends with one line: N passed, N failed.
#   tests/run.sh BUILD_DIR
# The C unit tests, the replay of every fuzz corpus, fifty kills of the store, the layer check, then
# the end-to-end suite.
set -u
cd "$(dirname "$0")/.."
build=$1
log=build/test-log
mkdir -p build
passed=0
failed=0

# Two at a time: each leaves NAME.log and, as its last line, its exit code.
logs=build/unit-logs
rm -rf "$logs"
mkdir -p "$logs"
ls "$build"/tests/unit/*_test | CMOCKA_MESSAGE_OUTPUT=TAP xargs -P 2 -I{} sh -c '
    timeout 300 "$1" >"$2/$(basename "$1").log" 2>&1
    printf "\nexit %d\n" $? >>"$2/$(basename "$1").log"' run {} "$logs"

# Counts "ok" and "not ok" of a TAP program; a crash or a wrong plan is one failure more.
for program in "$build"/tests/unit/*_test; do
    unit_log=$logs/$(basename "$program").log
    code=$(sed -n '$s/^exit //p' "$unit_log")
    ok=$(grep -c '^ok ' "$unit_log")
    bad=$(grep -c '^not ok ' "$unit_log")
    plan=$(sed -n 's/^1\.\.//p' "$unit_log" | head -n 1)
    [ "$((ok + bad))" = "${plan:-x}" ] || bad=$((bad + 1))
    [ "${code:-1}" -eq 0 ] || [ "$bad" -gt 0 ] || bad=1
    passed=$((passed + ok))
    failed=$((failed + bad))
    if [ "$bad" -gt 0 ]; then
        echo "FAIL $(basename "$program")"
        cat "$unit_log"
    fi
done
echo "unit: $passed passed, $failed failed so far"

for program in "$build"/tests/fuzz/*_fuzz; do
    name=$(basename "$program" _fuzz)
    if timeout 300 "$program" "tests/fuzz/corpus/$name" >"$log" 2>&1; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAIL replay of $name"
        tail -n 40 "$log"
    fi
done

if timeout 300 "$build/tests/crash/store_crash" -n 50 >"$log" 2>&1; then
    passed=$((passed + 1))
else
    failed=$((failed + 1))
    echo "FAIL store_crash"
fi
cat "$log"

if tests/layers.sh; then passed=$((passed + 1)); else failed=$((failed + 1)); fi

LAPWINGD=$PWD/$build/lapwingd LAPWING=$PWD/$build/lapwing
export LAPWINGD LAPWING
# Two at a time: most of them wait for a tick, or for a client to start.
/usr/bin/python3 -m pytest -q -p no:cacheprovider -n 2 tests/e2e 2>&1 | tee "$log"
summary=$(tail -n 3 "$log" | grep -E '(passed|failed|error)' | tail -n 1)
count() {
    echo "$summary" | grep -oE "[0-9]+ $1" | grep -oE '[0-9]+' | head -n 1
}
e2e_passed=$(count passed)
e2e_failed=$(count failed)
e2e_errors=$(count 'error')
[ -n "$summary" ] || e2e_errors=1
passed=$((passed + ${e2e_passed:-0}))
failed=$((failed + ${e2e_failed:-0} + ${e2e_errors:-0}))
rm -f "$log"

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
