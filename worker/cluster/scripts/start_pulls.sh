#!/bin/sh
# Claims images and starts to pull them, detached from this login or as jobs.
# $1: "direct" or "sbatch"; $2: how many at a time, if direct; $3: "force" if an image that is there is to be replaced;
# $4: temporary folder; $5: cache; $6: modules; $7: text of run_pulls.sh; $8: text of pull_image.sh; arguments of sbatch.
# Input: lines "<what> <TAB> <where to>".
# Output: a line "<where to> <TAB> started|there|busy|failed <TAB> <why>" for each.
set -u
export LC_ALL=C
umask 022
mode=$1 parallel=$2 force=$3 tmp=${4:+$(absolute "$4")} cache=${5:+$(absolute "$5")} modules=$6 run=$7 pull=$8
shift 8
tab=$(printf '\t')

tell() { # $1: the image; $2: what became of it; $3: why
    printf '%s\t%s\t%s\n' "$1" "$2" "$(printf '%s' "${3-}" | tr '\t\n' '  ')" >&3
}

submit() { # $1: what; $2: where to; $3: the claim; others: arguments of sbatch
    what=$1 where=$2 place=$3
    shift 3
    printf '#!/bin/sh\n%s\n' "$pull" >"$place/pull.sh" &&
        said=$(timeout 60 sbatch --parsable --no-requeue --open-mode=append --output="$place/log" "$@" \
            "$place/pull.sh" "$tmp" "$cache" "$modules" "$what" "$where" 2>&1) &&
        printf '%s\n' "$said" | sed -n 's/^\([0-9][0-9]*\)\(;.*\)\{0,1\}$/\1/p' | tail -n 1 >"$place/job" &&
        [ -s "$place/job" ] && return
    printf '%s\n' "${said:-$(no_room "$place")}" >>"$place/log"
    printf '73\n' >"$place/status"
}

exec 3>&1
claimed=$(
    while IFS=$tab read -r what where; do
        if [ "$force" != force ] && [ -e "$where" ]; then
            tell "$where" there
            continue
        fi
        full=$(absolute "$where")
        claim=$(claim_of "$full")
        if ! problem=$(mkdir -p -- "${where%/*}" 2>&1); then
            tell "$where" failed "$problem"
            continue
        fi
        if [ -d "$claim" ]; then
            if [ ! -e "$claim/status" ] && is_alive "$claim"; then
                tell "$where" busy
                continue
            fi
            mv -T -- "$claim" "$claim.$$.old" 2>/dev/null && rm -rf --one-file-system -- "$claim.$$.old"
        fi
        # Complete when it is seen first; of two at once, only one is renamed.
        if ! { mkdir -- "$claim.$$.new" && printf '%s\n' "$what" >"$claim.$$.new/source" &&
            : >"$claim.$$.new/queued" && : >"$claim.$$.new/beat"; } 2>/dev/null; then
            rm -rf --one-file-system -- "$claim.$$.new"
            problem=$(no_room "${where%/*}")
            tell "$where" failed "${problem:-${where%/*} cannot be written to}"
            continue
        fi
        if ! mv -T -- "$claim.$$.new" "$claim" 2>/dev/null; then
            rm -rf --one-file-system -- "$claim.$$.new"
            tell "$where" busy
            continue
        fi
        tell "$where" started
        if [ "$mode" = sbatch ]; then
            submit "$what" "$full" "$claim" "$@" </dev/null
        else
            printf '%s\n%s\n' "$what" "$full"
        fi
    done
)
exec 3>&-
[ -n "$claimed" ] || exit 0
IFS='
'
set -f
# shellcheck disable=SC2086 # one word for each line
set -- $claimed
nohup setsid sh -c "$run" omero-worker-run_pulls "$parallel" "$tmp" "$cache" "$modules" "$pull" "$@" \
    </dev/null >/dev/null 2>&1 &
