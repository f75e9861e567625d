#!/usr/bin/env bash
# Runs a project as a unit whose limits are shorter than what its services take: one of them cannot
# be reached, another needs its time to stop. Every line of failure is on standard error. Argument:
# the program.
set -euo pipefail
program=$1
unit=baudbot-test.service

fail() {
  echo "FAILED (slow): $*" >&2
  systemctl --user status --no-pager "$unit" >&2 || true
  cat "$HOME/unit.log" >&2 || true
  exit 1
}

mkdir -p "$HOME/project"
cat >"$HOME/project/baudbot.yaml" <<'YAML'
version: 1
project: slow
services:
  agent:
    command: "trap 'sleep 3; touch stopped; exit 0' TERM; touch begun; while :; do sleep 0.1; done"
    ready: {file: begun}
  gateway:
    command: [sleep, "1000"]
    ready: {file: never, timeout: 3s}
    restart: {delay: 1h, max_delay: 1h}
YAML
cat >"$HOME/.config/systemd/user/$unit" <<UNIT
[Service]
Type=notify
ExecStart=$program up --foreground -f %h/project/baudbot.yaml
KillMode=mixed
TimeoutStartSec=1
TimeoutStopSec=1
StandardOutput=append:%h/unit.log
StandardError=append:%h/unit.log
UNIT

systemctl --user daemon-reload
systemctl --user start "$unit" || fail "one service that cannot be reached keeps it from starting"
status=$(systemctl --user show -p StatusText --value "$unit")
case "$status" in
  "1 of 2 services up, 1 in backoff; \`gateway\` backoff: "*) ;;
  *) fail "STATUS= says: $status" ;;
esac
systemctl --user stop "$unit" || fail "it does not stop"
[ -e "$HOME/project/stopped" ] || fail "a service was not given its time to stop"
result=$(systemctl --user show -p Result --value "$unit")
[ "$result" = success ] || fail "it ended with $result"
