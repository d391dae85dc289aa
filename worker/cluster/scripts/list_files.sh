#!/bin/sh
# Lists all that is in a folder, and the folder.  $1, $2: the folder, see enter.sh.
# Output: "<type> <TAB> <bytes> <TAB> <time of change> <TAB> <path>" NUL ...  Types are those of find, and U for a file,
# D for a folder that cannot be read.  Of what has been made readable now, the time of that is not told.
set -u
enter "$1" "$2"
# What an analysis has made unreadable is ours all the same, as a rule, and can be made readable.
LC_ALL=C find . \
    -type d -readable -executable -printf 'd\t0\t%C@\t%P\0' \
    -o -type d -exec chmod u+rx -- {} \; -printf 'd\t0\t\t%P\0' \
    -o -type d -prune -printf 'D\t0\t0\t%P\0' \
    -o -type f -readable -printf 'f\t%s\t%C@\t%P\0' \
    -o -type f -exec chmod u+r -- {} \; -printf 'f\t%s\t\t%P\0' \
    -o -type f -printf 'U\t%s\t0\t%P\0' \
    -o -printf '%y\t0\t0\t%P\0'
