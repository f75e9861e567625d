#!/bin/sh
# Stands in for the script of this name.
echo "prune $*" >>~/start-up
