#!/bin/sh
# Looks at everything on a cluster that runs need, and changes nothing.
# $1: modules to load, with blanks between; others: folders.
# Input: groups of lines, each with an empty one after it: for what a job is, then the arguments that sbatch would get.
# Output: sections "== <name>" of lines with tabs in them.
set -u
export LC_ALL=C
modules=$1
shift
folders=$(printf '%s\n' "$@")
user=$(id -un)

# Seconds for each of Slurm's programs. After one has been silent, little is to be hoped of the others.
limit=20

note() { # $1: an exit status
    [ "$1" -ne 124 ] || limit=2
}

one_line() {
    tr -s '\t\r\n' '   ' | sed 's/ $//'
}

ask() { # $1: the section; others: a command. Its last line is "status <TAB> <n>".
    printf '== %s\n' "$1"
    shift
    answer=$(timeout "$limit" "$@" 2>&1)
    code=$?
    note "$code"
    printf '%s\nstatus\t%d\n' "$answer" "$code"
}

printf '== login\n%s\t%s\t%s\n' "$user" "$(uname -n)" "$(date +%s)"

echo '== programs'
for program in sbatch squeue scancel sinfo scontrol sacct; do
    said=$(timeout "$limit" "$program" --version 2>&1)
    code=$?
    note "$code"
    printf '%s\t%d\t%s\n' "$program" "$code" "$(printf '%s' "$said" | one_line)"
done
ask squeue squeue -h -o %i -u "$user"
ask sacct sacct -n -X -o JobID -S now -u "$user"
ask sinfo sinfo -h -o '%P|%a|%D|%T|%G|%l'
ask config scontrol show config
ask accounts sacctmgr -n -P show assoc "user=$user" format=account

echo '== submissions'
set --
what=''
while IFS= read -r line; do
    if [ -z "$line" ]; then
        said=$(timeout "$limit" sbatch --test-only "$@" --wrap=true 2>&1 </dev/null)
        code=$?
        note "$code"
        printf '%s\t%d\t%s\n' "$what" "$code" "$(printf '%s' "$said" | one_line)"
        set --
        what=''
    elif [ -z "$what" ]; then
        what=$line
    else
        set -- "$@" "$line"
    fi
done

echo '== runtime'
set +u # the set-up of a login is not ours
if [ -n "$modules" ] || ! runtime >/dev/null; then
    module_is_there
    known=$?
    if [ -n "$modules" ]; then
        # shellcheck disable=SC2086
        said=$(module load $modules 2>&1) || printf 'modules\t%s\n' "$(printf '%s' "$said" | one_line)"
        # Once more, as the first time was in a shell of its own.
        # shellcheck disable=SC2086
        module load $modules >/dev/null 2>&1
    elif [ "$known" -eq 0 ]; then
        module load singularity >/dev/null 2>&1 || module load apptainer >/dev/null 2>&1
    fi
fi
set -u
if program=$(runtime); then
    printf 'runtime\t%s\t%s\n' "$program" "$(timeout 20 "$program" --version 2>&1 | one_line)"
fi

echo '== folders'
printf '%s\n' "$folders" | while IFS= read -r folder; do
    state=there
    [ -d "$folder" ] || state=missing
    # What is not there yet will be made on the disk of the nearest folder that is.
    near=$folder
    while [ ! -d "$near" ]; do
        case $near in */*) near=${near%/*} ;; *) near=. ;; esac
        near=${near:-/}
    done
    kib=$(free_of -k "$near")
    inodes=$(free_of -i "$near")
    probe=$near/.omero-worker-probe.$$
    writable=yes
    printf x 2>/dev/null >"$probe" || writable=no
    locks=no
    flock -w 5 "$probe" true 2>/dev/null && locks=yes
    rm -f -- "$probe"
    system=$(stat -f -c %T -- "$near" 2>/dev/null)
    over=''
    case $system in
        lustre) over=$(timeout 20 lfs quota -q -u "$user" "$near" 2>/dev/null | grep -F '*' | one_line) ;;
    esac
    printf '%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n' \
        "$folder" "$state" "${kib:--}" "${inodes:--}" "$writable" "$locks" "${system:--}" "$over"
done

echo '== quota'
if command -v quota >/dev/null; then
    timeout 20 quota -q 2>/dev/null | one_line
fi
exit 0
