#!/bin/sh
# Writes a job script and submits it.
# $1: where to; $2: its size in bytes; $3...: arguments of sbatch.  Input: the job script.
# Output: what sbatch says, then "sbatch-status <n>".  Whoever does not see that line has submitted nothing.
set -u
umask 027
target=$1 size=$2
shift 2
temporary=$target.$$
trap 'rm -f -- "$temporary"' EXIT
cat >"$temporary" || exit 74
# When the connection breaks, input just ends; half a script must not be submitted.
if [ "$(wc -c <"$temporary")" -ne "$size" ]; then
    echo "the job script arrived incomplete" >&2
    exit 74
fi
mv -f -- "$temporary" "$target" || exit 74
sbatch "$@" "$target"
echo "sbatch-status $?"
