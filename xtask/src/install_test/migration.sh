# From the guide's script to this, by the commands of docs/migrating-from-the-script.md. First the host
# is as the guide leaves it.
. /root/common.sh

part "As the guide leaves it"
useradd --create-home testing-confluence
folder=/home/testing-confluence/confluence
file=$folder/flattened.json
install --directory --owner testing-confluence --group testing-confluence $folder
# The script wrote the newest page over the one before.
request 8080 GET /_sim/truth | tail --lines 100 > $file
chown testing-confluence:testing-confluence $file
printf '#!/bin/bash\nAPI_KEY=x\nexit 0\n' > /usr/local/bin/confluence_audit.sh
chmod +x /usr/local/bin/confluence_audit.sh
cat > /etc/systemd/system/confluence-audit.service << 'UNIT'
[Unit]
Description=Atlassian Confluence Audit Log Fetcher
[Service]
Type=oneshot
ExecStart=/usr/local/bin/confluence_audit.sh
User=testing-confluence
WorkingDirectory=/home/testing-confluence/confluence
UNIT
cat > /etc/systemd/system/confluence-audit.timer << 'UNIT'
[Timer]
OnBootSec=60
OnUnitActiveSec=600
Persistent=true
Unit=confluence-audit.service
[Install]
WantedBy=timers.target
UNIT
cat > /etc/logrotate.d/confluence_audit << RULE
$file {
    daily
    rotate 7
    copytruncate
    create 0640 testing-confluence testing-confluence
}
RULE
systemctl daemon-reload
systemctl enable --now confluence-audit.timer

part "The page's commands"
(cd /root && commands)

part "The same file, all of the records, by the same user"
exact "$file"
[ "$(stat --format '%a %U:%G' $file)" = '640 testing-confluence:testing-confluence' ] || fail "mode or owner"
systemctl show --property FragmentPath,User confluence-audit.service
[ "$(systemctl show --value --property FragmentPath confluence-audit.service)" != /etc/systemd/system/confluence-audit.service ] ||
    fail "the script's unit hides ours"

part "Rotated, it goes on under the same name"
request 8080 POST '/_sim/records?count=7' > /dev/null
logrotate --force /etc/logrotate.conf || fail "two rules for one file"
systemctl start confluence-audit.service
[ "$(wc -l < $file)" = 7 ] || fail "$(wc -l < $file) lines in the new file"
exact "$file $file-*"
ls -l $folder
