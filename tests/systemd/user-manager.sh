#!/usr/bin/env bash
# Runs a command beside a real `systemd --user` manager, whatever PID 1 is here:
#
#   user-manager.sh COMMAND [ARGUMENT ...]
#
# The manager gets a mount namespace and a cgroup v2 tree of its own and a throw-away HOME and
# XDG_RUNTIME_DIR, which COMMAND sees too. Afterwards everything that is left in that tree is killed.
# Exit status: COMMAND's; 125 with one line on standard error where no manager can be started here.
set -euo pipefail

cannot() {
  echo "no systemd user manager here: $*" >&2
  exit 125
}

outside() {
  [ "$(id -u)" = 0 ] || cannot "that needs root"
  local program
  for program in systemctl dbus-daemon unshare; do
    command -v "$program" >/dev/null || cannot "$program is not installed"
  done
  scratch=$(mktemp -d /tmp/bb-systemd.XXXXXX)
  mkdir "$scratch/tree" "$scratch/home" "$scratch/run"
  mount -t cgroup2 none "$scratch/tree" 2>/dev/null || { rm -r "$scratch"; cannot "cgroup2 cannot be mounted"; }
  group="$scratch/tree/baudbot-test-$$"
  trap tidy EXIT
  mkdir "$group" 2>/dev/null || cannot "no cgroup can be made"
  (
    echo "$BASHPID" >"$group/cgroup.procs"
    INSIDE_OF="$scratch" exec unshare --mount --cgroup --propagation private bash "$0" "$@"
  )
}

tidy() {
  local status=$?
  if [ -d "$group" ]; then
    echo 1 >"$group/cgroup.kill" || true
    # The kernel says "populated 0" when the last process is gone.
    until grep -q '^populated 0' "$group/cgroup.events"; do sleep 0.01; done
    find "$group" -depth -type d -exec rmdir {} +
  fi
  umount "$scratch/tree" || true
  rm -rf "$scratch"
  exit "$status"
}

inside() {
  umount -R /sys/fs/cgroup
  mount -t cgroup2 none /sys/fs/cgroup
  # libsystemd takes a host for one that was booted with systemd by this directory: sd_booted(3).
  mount -t tmpfs none /run/systemd 2>/dev/null || { mkdir -p /run/systemd; mount -t tmpfs none /run/systemd; }
  mkdir /run/systemd/system
  export HOME="$INSIDE_OF/home" XDG_RUNTIME_DIR="$INSIDE_OF/run"
  export DBUS_SESSION_BUS_ADDRESS="unix:path=$XDG_RUNTIME_DIR/bus"
  unset XDG_CONFIG_HOME XDG_STATE_HOME XDG_DATA_HOME INSIDE_OF
  mkdir -p "$HOME/.config/systemd/user" "$XDG_RUNTIME_DIR/systemd"
  chmod 700 "$XDG_RUNTIME_DIR"
  local manager_program=/usr/lib/systemd/systemd
  [ -x "$manager_program" ] || manager_program=/lib/systemd/systemd
  [ -x "$manager_program" ] || cannot "systemd is not installed"
  "$manager_program" --user >"$HOME/manager.log" 2>&1 &
  local manager=$! state=
  for _ in $(seq 200); do
    state=$(systemctl --user is-system-running 2>/dev/null || true)
    case "$state" in running | degraded) break ;; esac
    kill -0 "$manager" 2>/dev/null || break
    sleep 0.05
  done
  case "$state" in
    running | degraded) ;;
    *) tail -n 5 "$HOME/manager.log" >&2; cannot "the manager did not start" ;;
  esac
  local status=0
  "$@" || status=$?
  kill "$manager" 2>/dev/null || true
  wait "$manager" 2>/dev/null || true
  exit "$status"
}

if [ -n "${INSIDE_OF:-}" ]; then inside "$@"; else outside "$@"; fi
