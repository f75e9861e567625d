#!/bin/sh
# Stands in for the script of this name.
set -eu
mkdir -p ~/.pi/agent ~/.pi/session-control
chmod 700 ~/.pi ~/.pi/agent ~/.pi/session-control
echo "harden, umask $(umask)" >>~/start-up
