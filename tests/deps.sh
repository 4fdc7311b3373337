#!/bin/sh
# Installs the Debian 12 packages that `make run` (build), `make test` (build + test) and
# `make bench-store`, `make bench-query` (bench: another store to compare with) need; for
# `make bench-statsd` the servers it compares with, each on its own (bench-netdata, bench-collectd).
# Does nothing, quickly, when all of them are there.
set -eu

BUILD="gcc g++ libc6-dev make pkg-config librocksdb-dev libevent-dev libmsgpack-dev libpcre2-dev
    libcurl4-openssl-dev libyaml-dev libzstd-dev zlib1g-dev libxxhash-dev libroaring-dev libssl-dev
    libsimdjson-dev libcjson-dev libsnappy-dev"
TEST="libcmocka-dev perl python3 python3-pytest python3-pytest-xdist curl prometheus
    prometheus-alertmanager git
    python3-statsd python3-aiodogstatsd libnet-statsd-perl"
BENCH="victoria-metrics"
LINT="clang-14 libclang-rt-14-dev clang-format clang-tidy"

case "${1:-build}" in
build) packages=$BUILD ;;
test) packages="$BUILD $TEST" ;;
bench) packages="$BUILD $TEST $BENCH" ;;
bench-netdata) packages="netdata-core" ;;
bench-collectd) packages="collectd-core" ;;
lint) packages="$BUILD $TEST $LINT" ;;
*) echo "usage: tests/deps.sh build|test|bench|bench-netdata|bench-collectd|lint" >&2; exit 2 ;;
esac

# Node.js may be there from elsewhere; Debian's would then clash with it.
if [ "${1:-build}" != build ]; then
    command -v node >/dev/null || packages="$packages nodejs"
    command -v npm >/dev/null || packages="$packages npm"
fi

missing=""
for package in $packages; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q '^install ok' ||
        missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" -ne 0 ] && ! command -v sudo >/dev/null; then
    echo "tests/deps.sh: please run as root (or install sudo): apt-get install$missing" >&2
    exit 1
fi
as_root=""
[ "$(id -u)" -eq 0 ] || as_root=sudo
export DEBIAN_FRONTEND=noninteractive
# A daemon that a package would start (prometheus does) is not wanted: tests start their own.
policy=""
if [ ! -e /usr/sbin/policy-rc.d ]; then
    printf '#!/bin/sh\nexit 101\n' | $as_root tee /usr/sbin/policy-rc.d >/dev/null
    $as_root chmod +x /usr/sbin/policy-rc.d
    policy=1
fi
$as_root apt-get update -qq
# shellcheck disable=SC2086
$as_root apt-get install -y -qq --no-install-recommends $missing >/dev/null
[ -z "$policy" ] || $as_root rm -f /usr/sbin/policy-rc.d
