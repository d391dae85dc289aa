#!/bin/sh
# Asks for many jobs at once.  Input: lines "<job id> <TAB> <exit file> <TAB> <log>".
# $1: columns of sacct; empty if it is not to be asked.
# Output: sections "== <name>"; those of Slurm with lines "<id>|..." or messages, and "== <name>-status <n>".
set -u
# Times without a zone, and therefore in one that we know.
export LC_ALL=C SLURM_TIME_FORMAT=standard TZ=UTC0
jobs=$(cat)
tab=$(printf '\t')

column() { # of the jobs whose ids are listed in $2, or of all
    printf '%s\n' "$jobs" | awk -F"$tab" -v column="$1" -v listed="${2-all}" '
        BEGIN { n = split(listed, ids, ","); for (i = 1; i <= n; i++) wanted[ids[i]] = 1 }
        $column != "" && (listed == "all" || $1 in wanted) { print $column }'
}

ids=$(column 1 | paste -sd, -)
echo "== squeue"
# The first id twice: of a single id that it does not know, squeue makes an error.
# With -u the controller gives out the jobs of one user and not all that there are.
rows=$(timeout 30 squeue -h -t all -u "$(id -un)" -j "${ids%%,*},$ids" -o '%i|%T|%M|%r|%j' 2>&1)
rc=$?
printf '%s\n' "$rows"
echo "== squeue-status $rc"

# Jobs that squeue lists as not ended; only their logs are of interest, only the others need accounting.
live=$(printf '%s\n' "$rows" | awk -F'|' '
    /^[0-9]/ && $2 ~ /^(PENDING|CONFIGURING|RUNNING|COMPLETING|STAGE_OUT|SIGNALING|STOPPED|SUSPENDED|RESIZING|RE(QUEUE|SV_DEL).*|SPECIAL_EXIT)/ {
        split($1, id, "[^0-9]"); if (!seen[id[1]]++) printf "%s%s", (n++ ? "," : ""), id[1] }')
rest=$(printf '%s\n' "$jobs" | awk -F"$tab" -v live="$live" '
    BEGIN { n = split(live, ids, ","); for (i = 1; i <= n; i++) alive[ids[i]] = 1 }
    !($1 in alive) { printf "%s%s", (m++ ? "," : ""), $1 }')

echo "== sacct"
rc=0
if [ -n "$rest" ] && [ -n "$1" ]; then
    timeout 30 sacct -n -P -D -j "$rest" -o "$1" 2>&1
    rc=$?
fi
echo "== sacct-status $rc"

exit_files() { # of a job, or of the tasks of an array
    for found in "$1" "${1%.json}"_*.json; do
        [ -e "$found" ] && printf '%s\0' "$found"
    done
}

echo "== exit_files"
column 2 "$rest" | while IFS= read -r file; do exit_files "$file"; done | xargs -0 -r grep -sH -e '^{.*}$' --

echo "== tasks" # of arrays that go on: how many have ended, and what one of them has left
column 2 "$live" | while IFS= read -r file; do
    set -- "${file%.json}"_*.json
    if [ -e "$1" ]; then
        id=${file##*/}
        printf '%s|%d|%s\n' "${id%.json}" "$#" "$(cat -- "$1")"
    fi
done

echo "== logs"
if [ -n "$live" ]; then
    column 3 "$live" | tr '\n' '\0' | xargs -0 -r tail -q -v -c 1000 -- 2>/dev/null
fi
exit 0
