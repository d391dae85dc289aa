#!/bin/sh
# Makes the folders of a run, writes a job script and submits it.
# $1: where to; $2: its size in bytes; $3: file of the fence; $4: our number; folders, "--", arguments of sbatch.
# Input: the job script.
# Output: what sbatch says, then "sbatch-status <n>".  Whoever does not see that line has submitted nothing; "fenced-by
# <n>" says why not, also when a job was submitted and taken back.
set -u
umask 027
target=$1 size=$2 fence=$3 ours=$4
shift 4
if [ "$ours" -gt 0 ] && [ ! -d "${target%/*}" ]; then
    # Exported runs have a folder until they are cancelled or done: this request comes too late.
    echo "the folder of the run is gone" >&2
    exit 74
fi
while [ "$1" != -- ]; do
    mkdir -p -- "$1" || exit 74
    shift
done
shift
temporary=$target.$$
trap 'rm -f -- "$temporary"' EXIT
cat >"$temporary" || exit 74
# When the connection breaks, input just ends; half a script must not be submitted.
if [ "$(wc -c <"$temporary")" -ne "$size" ]; then
    echo "the job script arrived incomplete" >&2
    exit 74
fi
raise_fence "$fence" "$ours"
mv -f -- "$temporary" "$target" || exit 74
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
