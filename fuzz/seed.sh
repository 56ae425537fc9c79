#!/usr/bin/env bash
# Fills fuzz/corpus with the bodies of fixtures/ and with the records in them. Needs jq.
set -euo pipefail
cd "$(dirname "$0")"
mkdir -p corpus/page corpus/record
for file in ../fixtures/*/*.http; do
    name=$(basename "$(dirname "$file")")-$(basename "$file" .http)
    # The body is everything after the first empty line, byte for byte.
    head=$(grep -abnm1 '^$' "$file" | cut -d: -f2)
    tail -c "+$((head + 2))" "$file" >"corpus/page/$name"
    number=0
    while IFS= read -r record; do
        printf '%s' "$record" >"corpus/record/$name-$number"
        number=$((number + 1))
    done < <(jq -c '.results[]?' "corpus/page/$name" 2>/dev/null || true)
done
echo "$(ls corpus/page | wc -l) pages, $(ls corpus/record | wc -l) records"
