#!/bin/sh
# Lists all that is below a folder, but folders that can be read.  $1, $2: the folder, see enter.sh.
# Output: "<type> <TAB> <bytes> <TAB> <time of change> <TAB> <path>" NUL ...  Types are those of find, and U for a file,
# D for a folder that cannot be read.
set -u
enter "$1" "$2"
# What an analysis has made unreadable is ours all the same, as a rule, and can be made readable.
LC_ALL=C find . -mindepth 1 \
    -type d \( -readable -executable -o -exec chmod u+rx -- {} \; \) \
    -o -type d -prune -printf 'D\t0\t0\t%P\0' \
    -o -type f \( -readable -o -exec chmod u+r -- {} \; \) -printf 'f\t%s\t%C@\t%P\0' \
    -o -type f -printf 'U\t%s\t0\t%P\0' \
    -o -printf '%y\t0\t0\t%P\0'
