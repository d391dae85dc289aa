#!/bin/sh
# Makes the folders of a run, writes the files of a job and submits the first of them.
# $1: file of the fence; $2: our number; folders, "--", "<file> <bytes>" for each file, "--", arguments of sbatch.
# Input: the files, one after the other.
# Output: what sbatch says, then "sbatch-status <n>".  Whoever does not see that line has submitted nothing; "fenced-by
# <n>" says why not, also when a job was submitted and taken back.
set -u
umask 027
fence=$1 ours=$2
shift 2
root=${fence%/*/*}
if [ "$ours" -gt 0 ] && [ ! -d "$root" ]; then
    # Exported runs have a folder until they are cancelled or done: this request comes too late.
    echo "the folder of the run is gone" >&2
    exit 74
fi
while [ "$1" != -- ]; do
    mkdir -p -- "$1" || exit 74
    shift
done
shift
target=$1
input=$target.in.$$

trap 'rm -f -- "$root"/*".$$"' EXIT

write() { # beside where they are to be
    first=1
    while [ "$1" != -- ]; do
        # Only the job script is for others to look at: what is beside it may hold what somebody has typed.
        [ "$1" = "$target" ] || umask 077
        tail -c "+$first" -- "$input" | head -c "$2" >"$1.$$" || exit 74
        # When the connection breaks, input just ends; half a script must not be submitted.
        if [ "$(wc -c <"$1.$$")" -ne "$2" ]; then
            echo "the job script arrived incomplete" >&2
            exit 74
        fi
        first=$((first + $2))
        shift 2
    done
    umask 027
}

place() {
    while [ "$1" != -- ]; do
        mv -f -- "$1.$$" "$1" || exit 74
        shift 2
    done
}

cat >"$input" || exit 74
write "$@"
raise_fence "$fence" "$ours"
place "$@"
while [ "$1" != -- ]; do
    shift 2
done
shift
said=$(sbatch "$@" "$target")
status=$?
printf '%s\n' "$said"
if [ "$status" -eq 0 ] && [ -z "$locked" ]; then
    greatest=$(fence_number "$fence")
    if [ "$greatest" -gt "$ours" ]; then
        # Without a lock somebody may have looked for our job and not found it.
        scancel "$(printf '%s\n' "$said" | sed -n 's/^\([0-9][0-9]*\)\(;.*\)\{0,1\}$/\1/p' | tail -n 1)"
        echo "fenced-by $greatest"
        exit 75
    fi
fi
echo "sbatch-status $status"
