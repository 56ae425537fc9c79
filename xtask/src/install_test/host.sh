# An administrator's first day, the next upgrade, and the end. The commands are the README's.
. /root/common.sh

useradd --system agent
part "The README's section"
(cd /root && commands)
files=/var/log/confluence-audit/flattened.json

part "The records are all there, for the group alone; token and state for nobody"
exact "$files*"
rotated=$(echo $files-*)
runuser -u agent -- head -c 1 "$rotated" > /dev/null || fail "the agent cannot read"
if runuser -u nobody -- head -c 1 "$rotated" 2> /dev/null; then fail "nobody can read the records"; fi
for secret in /etc/confluence-audit/confluence.token /var/lib/confluence-audit/spool.sqlite3; do
    if runuser -u agent -- head -c 1 $secret 2> /dev/null; then fail "the agent can read $secret"; fi
done
# The unit's own user cannot read the token either: it had it from systemd.
if runuser -u confluence-audit -- cat /etc/confluence-audit/confluence.token 2> /dev/null; then
    fail "LoadCredential was not needed"
fi
if grep -r canary-scoped /var/log /var/lib/confluence-audit || journalctl --no-pager | grep canary-scoped; then
    fail "the token is where it should not be"
fi
echo ok

part "Another interval: the timer's turns follow the configuration"
sed -i 's/^#interval = .*/interval = "5s"/' /etc/confluence-audit/config.toml
confluence-audit generate systemd --drop-in --dir / --force
cat /etc/systemd/system/confluence-audit.timer.d/50-configuration.conf
systemctl daemon-reload
systemctl restart confluence-audit.timer
request 8080 POST '/_sim/records?count=5' > /dev/null
request 8080 POST '/_sim/records?count=2&late=10m&twins=true' > /dev/null
within_a_minute is_exact "$files*"
exact "$files*"

part "Rotations and SIGHUP while the timer fires"
for turn in 1 2 3; do
    request 8080 POST '/_sim/records?count=20' > /dev/null
    logrotate --force /etc/logrotate.d/confluence-audit
    within_a_minute is_exact "$files*"
    # The names of rotated files are told apart by the second.
    sleep 1.1
done
exact "$files*"
ls -l /var/log/confluence-audit
[ "$(stat --format '%a %U:%G' $files)" = '640 confluence-audit:confluence-audit' ] || fail "mode or owner"
ls /var/log/confluence-audit/*.gz > /dev/null || fail "nothing was packed"

part "A credential that was sealed to this machine"
systemd-creds --quiet encrypt --name=confluence.token /etc/confluence-audit/confluence.token /etc/confluence-audit/confluence.cred
folder=/etc/systemd/system/confluence-audit.service.d
printf '[Service]\nLoadCredential=\nLoadCredentialEncrypted=confluence.token:/etc/confluence-audit/confluence.cred\n' > $folder/60-sealed.conf
mv /etc/confluence-audit/confluence.token /root/aside
systemctl daemon-reload
systemctl start confluence-audit.service || fail "the sealed credential is not taken"
mv /root/aside /etc/confluence-audit/confluence.token
rm $folder/60-sealed.conf
systemctl daemon-reload
echo ok

part "What a person has to mend is not tried over and over"
systemctl stop confluence-audit.timer
echo wrong > /root/wrong
printf '[Service]\nLoadCredential=\nLoadCredential=confluence.token:/root/wrong\nRestartSec=0\n' > $folder/60-wrong.conf
systemctl daemon-reload
if systemctl start confluence-audit.service 2> /dev/null; then fail "a wrong token passed"; fi
systemctl show --property Result,ExecMainStatus,NRestarts confluence-audit.service
[ "$(systemctl show --value --property ExecMainStatus confluence-audit.service)" = 77 ] || fail "not 77"
[ "$(systemctl show --value --property NRestarts confluence-audit.service)" = 0 ] || fail "it was restarted"
rm $folder/60-wrong.conf
systemctl daemon-reload
systemctl reset-failed confluence-audit.service
systemctl start confluence-audit.timer

part "An upgrade keeps state, configuration and what is enabled"
systemctl stop confluence-audit.timer
before=$(find /var/lib/confluence-audit -type f -exec sha256sum {} +)
dpkg --install /root/newer/*.deb
[ "$before" = "$(find /var/lib/confluence-audit -type f -exec sha256sum {} +)" ] || fail "the state is another"
grep --quiet '"5s"' /etc/confluence-audit/config.toml || fail "the configuration is another"
systemctl is-enabled confluence-audit.timer
systemctl start confluence-audit.timer
request 8080 POST '/_sim/records?count=3' > /dev/null
within_a_minute is_exact "$files*"
exact "$files*"

part "The daemon takes the timer's place"
folder=/etc/systemd/system/confluence-auditd.service.d
# A watchdog that is not waited for.
printf '[Service]\nWatchdogSec=5s\nRestartSec=0\n' > $folder/60-test.conf
systemctl daemon-reload
systemctl disable --now confluence-audit.timer
systemctl enable --now confluence-auditd.service || fail "it does not become ready"
systemctl status --no-pager --lines 5 confluence-auditd.service
pid() { systemctl show --value --property MainPID confluence-auditd.service; }
first=$(pid)
request 8080 POST '/_sim/records?count=4' > /dev/null
within_a_minute is_exact "$files*"
for path in /healthz /readyz / /metrics; do
    [ -n "$(request 9321 GET $path)" ] || fail "$path says nothing"
done
request 9321 GET /metrics > /root/metrics
grep --quiet '^confluence_audit_build_info' /root/metrics || fail "no metrics"

part "SIGHUP: a good configuration is taken, a bad one refused, and the daemon goes on"
systemctl reload confluence-auditd.service
cp /etc/confluence-audit/config.toml /root/good.toml
echo 'nonsense = 1' > /etc/confluence-audit/config.toml
systemctl reload confluence-auditd.service || true
request 8080 POST '/_sim/records?count=4' > /dev/null
within_a_minute is_exact "$files*"
cp /root/good.toml /etc/confluence-audit/config.toml
systemctl reload confluence-auditd.service
[ "$(pid)" = "$first" ] || fail "it was started anew"
journalctl --no-pager --lines 8 --unit confluence-auditd.service

part "Rotation under the daemon"
for turn in 1 2 3; do
    request 8080 POST '/_sim/records?count=20' > /dev/null
    logrotate --force /etc/logrotate.d/confluence-audit
    within_a_minute is_exact "$files*"
    sleep 1.1
done
exact "$files*"

part "The watchdog starts a stopped loop anew"
kill -STOP "$(pid)"
anew() { [ "$(pid)" != "$first" ] && systemctl is-active --quiet confluence-auditd.service; }
within_a_minute anew
journalctl --no-pager --lines 8 --unit confluence-auditd.service
request 8080 POST '/_sim/records?count=4' > /dev/null
within_a_minute is_exact "$files*"
exact "$files*"

part "SIGTERM ends it within ten seconds"
start=$SECONDS
systemctl disable --now confluence-auditd.service
[ $((SECONDS - start)) -le 10 ] || fail "it took $((SECONDS - start)) s"
[ "$(systemctl show --value --property Result confluence-auditd.service)" = success ] || fail "not a success"
exact "$files*"
rm $folder/60-test.conf
systemctl daemon-reload
systemctl enable --now confluence-audit.timer

part "OAuth: the confined service keeps a consent alive"
kept=/var/lib/confluence-audit/acme.oauth.json
set_up() {
    CONFLUENCE_AUDIT_API_URL=http://127.0.0.1:8080 CONFLUENCE_AUDIT_AUTH_URL=http://127.0.0.1:8080 \
        confluence-audit-oauth-setup --client-id sim-client-id --client-secret-file /root/app.secret \
        --redirect-uri https://acme.example/callback --no-browser --token-file $kept "$@" < /dev/null
}
install -m 600 /dev/null /root/app.secret && echo canary-client-secret-91b4 > /root/app.secret
# Nobody pastes anything: it says how to go on.
set_up 2> /root/asked || true
address=$(grep --only-matching 'http://127.0.0.1:8080/authorize[^ ]*' /root/asked)
exec 3<> /dev/tcp/127.0.0.1/8080
printf 'GET %s HTTP/1.0\r\n\r\n' "${address#http://127.0.0.1:8080}" >&3
callback=$(tr -d '\r' <&3 | sed -n 's/^[Ll]ocation: //p')
exec 3>&-
set_up --callback-url "$callback"
chown confluence-audit: $kept*
sed -i -e "s#^auth = .*#auth = { kind = \"oauth\", token_file = \"$kept\" }#" \
    -e 's|^#auth_url = .*|auth_url = "http://127.0.0.1:8080"|' /etc/confluence-audit/config.toml
confluence-audit generate systemd --drop-in --dir / --force
systemctl daemon-reload
before=$(sha256sum $kept)
request 8080 POST '/_sim/records?count=3' > /dev/null
within_a_minute is_exact "$files*"
exact "$files*"
# A pass that came at once still had the first access token.
renewed() { [ "$before" != "$(sha256sum $kept)" ]; }
within_a_minute renewed
[ "$(stat --format '%a %U:%G' $kept)" = '600 confluence-audit:confluence-audit' ] || fail "mode or owner"

part "A removal keeps what was collected"
DEBIAN_FRONTEND=noninteractive apt-get remove --yes --quiet=2 confluence-audit
systemctl list-timers --all | grep confluence && fail "a timer is left"
[ -f $files ] && [ -f /etc/confluence-audit/config.toml ] && [ -d /var/lib/confluence-audit ] || fail "something is gone"

part "A purge takes it away, and leaves the user"
DEBIAN_FRONTEND=noninteractive apt-get purge --yes --quiet=2 confluence-audit
left=$(find / -xdev -name '*confluence*' -not -path '/root/*' -not -path '/proc/*' -not -path '/usr/local/bin/*' \
    -not -path '/var/cache/*' -not -path '/var/tmp/*' -not -path '/tmp/*' -not -path '/sys/*' -not -path '/run/*')
[ -z "$left" ] || fail "it left $left"
id confluence-audit
