#!/bin/sh
# Stands in for the script of this name: something was changed by hand, and it depends on the mode
# whether that matters.
echo "integrity $BAUDBOT_STARTUP_INTEGRITY_MODE" >>~/start-up
echo "1 file differs from its hash"
[ "$BAUDBOT_STARTUP_INTEGRITY_MODE" != strict ]
