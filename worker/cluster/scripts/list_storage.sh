#!/bin/sh
# Lists the folders in the folder of all runs.  $1: that folder; $2: "sizes" to measure them, which may take long, or "";
# $3 and following: device and inode of folders that are not to be listed again under another name.
# Output: "<device>:<inode>" NUL of the folder, then "<name> <TAB> <owner> <TAB> <last change> <TAB> <bytes> <TAB> <files>"
# NUL ...  The owner is the run that a folder says it belongs to, if it does; bytes and files are empty where they were
# not measured.
set -u
[ -e "$1" ] || exit 0 # nothing was ever stored
cd -- "$1" || exit 66
measure=$2
shift 2
here=$(stat -c %d:%i .) || exit 66
for seen; do
    [ "$seen" != "$here" ] || exit 0
done
printf '%s\0' "$here"
for folder in * .[!.]*; do
    if [ -L "./$folder" ] || [ ! -d "./$folder" ]; then
        continue
    fi
    owner=$(head -c 64 -- "./$folder/status/owner" 2>/dev/null | tr -cd '0-9a-f-')
    # What lies in these changes a folder as well: data/in, and the like.
    changed=$(find "./$folder" -maxdepth 2 -printf '%T@\n' 2>/dev/null | sort -n | tail -n 1)
    size=
    if [ "$measure" = sizes ]; then
        # Space on the disk, as du counts it; other file systems mounted below are not entered.
        size=$(find "./$folder" -xdev -printf '%b %y\n' 2>/dev/null |
            awk '{ blocks += $1; if ($2 != "d") files++ } END { printf "%.0f\t%.0f", blocks * 512, files }')
    fi
    printf '%s\t%s\t%s\t%s\0' "$folder" "$owner" "${changed:-0}" "${size:-	}"
done
