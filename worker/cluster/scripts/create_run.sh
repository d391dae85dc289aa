#!/bin/sh
# Makes folders.  $1...: the folders.
set -u
umask 027
mkdir -p -- "$@"
