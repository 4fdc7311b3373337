#!/bin/sh
# Checks the house rules that a compiler does not: import direction, third-party homes, file size.
set -u
cd "$(dirname "$0")/.."
status=0
complain() {
    echo "layers: $1"
    status=1
}

# forbid FOLDER PATTERN: no source below FOLDER may include PATTERN.
forbid() {
    hits=$(grep -rnE "^#include \"($2)" "$1" --include='*.[ch]' --include='*.cc')
    [ -z "$hits" ] || complain "$1 must not include $2:
$hits"
}
forbid storage/base 'storage/[a-z_]+\.h|query/|server/|clients/'
forbid storage 'query/|server/|clients/'
forbid query 'server/|clients/'
forbid server 'clients/'
forbid clients 'query/|server/|storage/'
forbid server/wire 'server/(alert|api|ingest|net|notify|ruletest)/'
forbid server/net 'server/(alert|api|ingest|notify|ruletest|wire)/'
forbid server/alert 'server/(api|ingest|net|ruletest|wire)/'
forbid server/ingest 'server/(alert|api|notify|ruletest)/'

# home HEADER PLACE: only files under PLACE (a regex) may include HEADER.
home() {
    hits=$(grep -rlE "^#include <$1" storage query server clients | grep -vE "$2")
    [ -z "$hits" ] || complain "<$1> belongs to $2, not: $hits"
}
home 'rocksdb/' '^storage/kv/'
home 'event2/http' '^server/net/http[a-z_]*\.c$'
home 'curl/' '^(server/notify/|server/probe/|clients/)'
home 'yaml\.h' '^storage/base/yaml\.c$'
home 'pcre2\.h' '^storage/base/regex\.c$'
home 'simdjson' '^storage/base/json_simd\.cc$'

for file in $(git ls-files storage query server clients tests bench | grep -E '\.(c|h|cc)$'); do
    lines=$(wc -l <"$file")
    [ "$lines" -le 600 ] || complain "$file has $lines lines, the limit is 600"
done

banned=$(grep -rnE '\b(strcpy|strcat|sprintf|strtok|atoi|alloca|gets|localtime|vsprintf)\(' \
    storage query server clients --include='*.[ch]')
[ -z "$banned" ] || complain "banned functions:
$banned"
heap=$(grep -rnE '\b(malloc|calloc|realloc|strdup)\(' storage query server \
    --include='*.[ch]' | grep -v '^storage/base/alloc\.c')
[ -z "$heap" ] || complain "allocate with storage/base/alloc.h:
$heap"
exit $status
