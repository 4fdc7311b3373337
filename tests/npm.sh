#!/bin/sh
# Installs npm packages, once a version: the real clients of tests/e2e/package.json into build/npm,
# or with `bench` the servers of bench/package.json into build/npm-bench.
set -eu
cd "$(dirname "$0")/.."
case "${1:-e2e}" in
e2e) list=tests/e2e/package.json into=build/npm options="" ;;
bench) list=bench/package.json into=build/npm-bench options="--omit=optional" ;;
*) echo "usage: tests/npm.sh [e2e|bench]" >&2; exit 2 ;;
esac
mkdir -p "$into"
if ! cmp -s "$list" "$into/package.json" || [ ! -d "$into/node_modules" ]; then
    cp "$list" "$into/package.json.new"
    rm -rf "$into/node_modules"
    mv "$into/package.json.new" "$into/package.json"
    # shellcheck disable=SC2086
    npm install --prefix "$into" --no-package-lock --no-audit --no-fund --silent $options ||
        { rm -f "$into/package.json"; echo "tests/npm.sh: npm install failed" >&2; exit 1; }
fi
