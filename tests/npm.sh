#!/bin/sh
# Installs the real npm clients of tests/e2e/package.json into build/npm, once a version.
set -eu
cd "$(dirname "$0")/.."
mkdir -p build/npm
if ! cmp -s tests/e2e/package.json build/npm/package.json || [ ! -d build/npm/node_modules ]; then
    cp tests/e2e/package.json build/npm/package.json.new
    rm -rf build/npm/node_modules
    mv build/npm/package.json.new build/npm/package.json
    npm install --prefix build/npm --no-package-lock --no-audit --no-fund --silent ||
        { rm -f build/npm/package.json; echo "tests/npm.sh: npm install failed" >&2; exit 1; }
fi
