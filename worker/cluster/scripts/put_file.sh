#!/bin/sh
# Writes a file, whole or not at all.  $1: where to; $2: its size in bytes.  Input: what it says.
set -u
umask 022
mkdir -p -- "${1%/*}" || exit 74
trap 'rm -f -- "$1.$$"' EXIT
cat >"$1.$$" || exit 74
if [ "$(wc -c <"$1.$$")" -ne "$2" ]; then
    echo "the file arrived incomplete" >&2
    exit 74
fi
mv -f -- "$1.$$" "$1"
