#!/bin/sh
# Removes the folder of a run.  $1: folder of all runs; $2: name of the run's folder in it.
set -u
case $2 in
    biomero_*) ;;
    *) echo "$2 is not the folder of a run" >&2; exit 64 ;;
esac
case $2 in
    */*) echo "$2 is not a name" >&2; exit 64 ;;
esac
[ -e "$1" ] || exit 0
cd -- "$1" || exit 1
# A link is removed itself, not what it points to; other file systems mounted below are not entered.
rm -rf --one-file-system -- "./$2"
