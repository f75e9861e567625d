#!/bin/sh
# Stands in for the script of this name. It fails, which must not keep anything from starting.
echo redact >>~/start-up
exit 3
