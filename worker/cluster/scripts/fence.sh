#!/bin/sh
# The fence of a run: the greatest number under which anybody has looked for its jobs or submitted one. Whoever comes
# with a smaller one, because it was paused or its packets were, is turned away.

fence_number() { # $1: the file of the fence
    number=$(cat -- "$1" 2>/dev/null)
    case $number in '' | *[!0-9]*) number=0 ;; esac
    echo "$number"
}

# Raises the fence and keeps others out until the script ends, or until descriptor 9 is closed.
# $1: the file of the fence, whose folder is there; $2: our number.
# Sets "locked", to nothing where the file system knows no locks.
raise_fence() {
    exec 9>>"$1.lock" || exit 74
    flock -w 30 9 2>/dev/null
    # shellcheck disable=SC2034 # "locked" is read by the scripts before which this is put
    case $? in
        0) locked=yes ;;
        1) echo "fence-busy" && exit 75 ;; # a submission is in flight
        *) locked= ;;
    esac
    greatest=$(fence_number "$1")
    if [ "$greatest" -gt "$2" ]; then
        echo "fenced-by $greatest" && exit 75
    fi
    if ! { printf '%s\n' "$2" >"$1.$$" && mv -f -- "$1.$$" "$1"; }; then
        # Shells do not say why they cannot write.
        free=$(df -P -k -- "${1%/*}" |
            awk 'END { for (i = 5; i <= NF; i++) if ($i ~ /^[0-9]+%$/) { print $(i - 1); exit } }')
        if [ "${free:-64}" -lt 64 ]; then
            echo "No space left on device" >&2
        fi
        rm -f -- "$1.$$"
        exit 74
    fi
}
