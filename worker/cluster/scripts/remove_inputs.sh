#!/bin/sh
# Removes what was converted.  $1: the folder; $2, $3: file of the fence and our number.
# Input: paths below the folder, each with a NUL.
set -u
[ -d "${2%/*}" ] || exit 0 # the run is gone, and with it what was to be removed
raise_fence "$2" "$3"
[ -d "$1" ] || exit 0
cd -P -- "$1" || exit 1
# shellcheck disable=SC2016 # for the shell that xargs starts
xargs -0 -r sh -c '
    top=$(pwd -P)
    for path; do
        case /$path/ in
            //* | */../* | */./*) echo "$path is not a path below a folder" >&2 && exit 64 ;;
        esac
        # Removed before, by a command whose reply was lost?
        [ -e "$path" ] || [ -L "$path" ] || continue
        # A link in between would lead elsewhere.
        case $path in
            */*) parent=$(cd -P -- "./${path%/*}" && pwd -P) ;;
            *) parent=$top ;;
        esac
        case $parent/ in
            "$top"/*) rm -rf --one-file-system -- "$parent/${path##*/}" || exit 1 ;;
            *) echo "$path leads out of the folder" >&2 && exit 64 ;;
        esac
    done
' sh
