#!/usr/bin/env bash
# Runs a project as a unit of the user manager, start to stop; every line of failure is on standard
# error. Arguments: the program, the unit's Type.
set -euo pipefail
program=$1
type=$2
unit=baudbot-test.service

fail() {
  echo "FAILED ($type): $*" >&2
  systemctl --user status --no-pager "$unit" >&2 || true
  cat "$HOME/unit.log" >&2 || true
  exit 1
}

mkdir -p "$HOME/project"
cat >"$HOME/project/baudbot.yaml" <<'YAML'
version: 1
project: unit
services:
  prepare: {type: task, command: "sleep 0.3; touch prepared"}
  server:
    command: "touch begun; trap 'exit 0' TERM; setsid sleep 1000 & while :; do sleep 1000 & wait $!; done"
    depends_on: [prepare]
    ready: {file: begun}
  session: {type: tmux, command: "trap 'exit 0' TERM; while :; do sleep 1000 & wait; done"}
YAML
cat >"$HOME/.config/systemd/user/$unit" <<UNIT
[Service]
Type=$type
ExecStart=$program up --foreground -f %h/project/baudbot.yaml
KillMode=mixed
StandardOutput=append:%h/unit.log
StandardError=append:%h/unit.log
UNIT

systemctl --user daemon-reload
systemctl --user start "$unit" || fail "it does not start"
if [ "$type" = notify ]; then
  # READY=1 came only once the order was fulfilled.
  [ -e "$HOME/project/begun" ] || fail "it was ready before its services were"
fi
# A unit of type exec has started before its supervisor answers, and nobody else may become it.
while [ "$("$program" status -p unit >/dev/null 2>&1; echo $?)" = 3 ]; do
  systemctl --user is-active --quiet "$unit" || fail "it ended before it answered"
  sleep 0.05
done
"$program" status -p unit >/dev/null || "$program" up -f "$HOME/project/baudbot.yaml" || fail "it does not come up"
main=$(systemctl --user show -p MainPID --value "$unit")
supervisor=$("$program" status -p unit --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["supervisor"]["pid"])')
[ "$main" = "$supervisor" ] || fail "the main process is $main, the supervisor $supervisor"
case "$(systemctl --user show -p StatusText --value "$unit")" in
  "3 of 3 services up") ;;
  *) [ "$type" != notify ] || fail "no STATUS= came" ;;
esac
group="/sys/fs/cgroup$(systemctl --user show -p ControlGroup --value "$unit")"
[ "$(wc -l <"$group/cgroup.procs")" -gt 3 ] || fail "the services are not in the unit's cgroup"
systemctl --user stop "$unit" || fail "it does not stop"
[ "$(systemctl --user show -p Result --value "$unit")" = success ] || fail "it did not end well"
# The manager removes the cgroup of a unit that left nothing behind, and kills what is left before.
[ ! -s "$group/cgroup.procs" ] 2>/dev/null || fail "processes are left"
if grep -q 'Killing process' "$HOME/manager.log"; then fail "systemd had to kill what we left"; fi
[ ! -e "$XDG_RUNTIME_DIR/baudbot/unit" ] || fail "runtime files are left"
