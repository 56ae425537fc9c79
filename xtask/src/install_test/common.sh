# What both runs inside the booted tree begin with. The first that fails ends the run.
set -euo pipefail

fail() {
    echo "FAILED: $*"
    journalctl --no-pager --lines 60 --unit 'confluence-audit*' || true
    exit 1
}

trap 'fail "line $LINENO: $BASH_COMMAND"' ERR

part() { printf '\n=== %s\n' "$*"; }

# Waits until a command succeeds; a minute is far more than any of them takes.
within_a_minute() {
    local try
    for try in $(seq 300); do
        if "$@"; then return 0; fi
        sleep 0.2
    done
    fail "not within a minute: $*"
}

# A request to this machine, the answer's body on standard output.
request() {
    local port=$1 method=$2 path=$3
    exec 3<>"/dev/tcp/127.0.0.1/$port"
    printf '%s %s HTTP/1.0\r\nHost: 127.0.0.1:%s\r\n\r\n' "$method" "$path" "$port" >&3
    sed '1,/^\r$/d' <&3
    exec 3>&-
}

answers() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# Whether every record that the site has stands once, and nothing else, in the files of this pattern,
# rotated and packed or not.
is_exact() {
    request 8080 GET /_sim/truth | LC_ALL=C sort > /root/truth
    # The pattern is expanded here: files come and go.
    # shellcheck disable=SC2086
    zcat --force $1 | LC_ALL=C sort > /root/collected
    cmp --silent /root/truth /root/collected
}

exact() {
    if ! is_exact "$1"; then
        diff /root/truth /root/collected | cut --characters=-200 | head -n 5 || true
        fail "$(wc -l < /root/truth) records at the site, $(wc -l < /root/collected) in $1"
    fi
    echo "exact: $(wc -l < /root/collected) records"
}

# OAuth's access tokens end so soon that each pass has to renew them.
confluence-audit-sim --port 8080 --expires-in 2s > /root/sim.log 2>&1 &
within_a_minute answers 8080
# What the site would be at is told to `generate config`, and to nobody else.
commands() { CONFLUENCE_AUDIT_API_URL=http://127.0.0.1:8080 bash -eu /root/commands.sh < /root/token; }
