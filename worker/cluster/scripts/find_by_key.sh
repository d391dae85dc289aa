#!/bin/sh
# Finds jobs of ours by the key in their name or comment.
# $1: the key; $2: since when accounting is asked, as sacct -S takes it; $3: folder of exit files, or empty;
# $4: our number; no submission with a smaller one takes effect after this. Only with a folder.
# Output: sections "== <name>" with lines "<job id>|..." or messages, and "== <name>-status <n>" at the end of each.
set -u
export LC_ALL=C
key=$1 since=$2 folder=$3
user=$(id -un)

# Without a folder of the run nobody submits, and one that was removed must not come back.
if [ -n "$folder" ] && [ -n "${4-}" ] && [ -d "${folder%/*}" ]; then
    umask 027
    mkdir -p -- "$folder" || exit 74
    # Waits for a submission in flight, so that its job is found below.
    raise_fence "$folder/fence" "$4"
    exec 9>&-
fi

ours() { # of the jobs, those with the key; and all messages
    awk -v key="$key" '/^[0-9][^|]*[|]/ { if (index($0, key)) print; next } { print }'
}

echo "== squeue"
answer=$(timeout 30 squeue -h -t all -u "$user" -o '%i|%k|%j' 2>&1)
rc=$?
printf '%s\n' "$answer" | ours
echo "== squeue-status $rc"

echo "== sacct"
answer=$(timeout 30 sacct -n -P -X -u "$user" -S "$since" -o JobID,Comment,JobName 2>&1)
rc=$?
printf '%s\n' "$answer" | ours
echo "== sacct-status $rc"

echo "== exit_file"
if [ -n "$folder" ] && [ -d "$folder" ]; then
    find "$folder" -maxdepth 1 -type f -name '*.json' -exec grep -lF -e "\"$key\"" {} + |
        sed -n 's:.*/\([0-9_]*\)[.]json$:\1|:p'
fi
echo "== exit_file-status 0"
