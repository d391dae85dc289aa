#!/bin/sh
# Reads a file, or ends with status 66 if there is none.  $1: the file; $2: at most so many bytes of it.
set -u
[ -f "$1" ] || exit 66
head -c "$2" -- "$1"
