#!/bin/sh
# Claims on images that are being pulled. The claim on <folder>/<name> is the folder <folder>/.<name>.pull, in which are:
#   source  what is pulled               queued  until the pull begins
#   beat    touched every 10 s           job     number of the Slurm job that pulls, if one does
#   log     what was said                status  exit status, once it has ended badly
# A folder is renamed into place atomically everywhere, also where file systems know no locks.

# Longest silence, in seconds, after which a claim is anybody's; and that after which Slurm is asked for its job.
# Their clock is that of the file system, as those of logins differ.
silence=60 short_silence=15

claim_of() { # $1: the image
    printf '%s/.%s.pull\n' "${1%/*}" "${1##*/}"
}

absolute() { # $1: a path, perhaps below the folder of the login
    case $1 in /*) printf '%s\n' "$1" ;; *) printf '%s\n' "$PWD/$1" ;; esac
}

is_alive() { # $1: the claim
    touch -- "$1/now" 2>/dev/null
    now=$(stat -c %Y -- "$1/now" 2>/dev/null) || now=$(date +%s)
    beat=$(stat -c %Y -- "$1/beat" 2>/dev/null) || beat=0
    [ $((now - beat)) -lt "$short_silence" ] && return 0
    if [ ! -s "$1/job" ]; then
        [ $((now - beat)) -lt "$silence" ]
        return
    fi
    # A controller that does not answer says nothing about the job.
    : "${queue=$(timeout 30 squeue -h -u "$(id -un)" -o %i 2>/dev/null || echo unknown)}"
    [ "$queue" = unknown ] || printf '%s\n' "$queue" | grep -qxF -e "$(cat -- "$1/job")"
}

free_of() { # $1: "-k" for kilobytes, "-i" for files; $2: a path on the disk. Nothing where nobody counts them.
    # Before the column with the percentage, as there may be blanks in names of disks and folders.
    df -P "$1" -- "$2" 2>/dev/null | awk 'END { for (i = 5; i <= NF; i++) if ($i ~ /^[0-9]+%$/) { print $(i - 1); exit } }'
}

no_room() { # $1: a folder; says so if nothing can be written there. Shells do not say why they cannot write.
    for kind in -k -i; do
        free=$(free_of "$kind" "$1")
        [ "${free:-64}" -ge 64 ] || { echo "No space left on device" && return; }
    done
}

bytes_at() { # $1: a file; $2: from; $3: how many
    od -A n -v -t x1 -j "$2" -N "$3" -- "$1" 2>/dev/null | tr -d ' \n'
}

image_problem() { # $1: a file or, for a sandbox, a folder; says what is wrong if it is not a whole image
    [ -d "$1" ] && return
    [ -r "$1" ] || { echo "it cannot be read" && return; }
    size=$(stat -L -c %s -- "$1") || return
    if [ "$(bytes_at "$1" 32 9)" = 5349465f4d41474943 ]; then # SIF_MAGIC
        # Offset and length of its data: https://github.com/sylabs/sif, type "header".
        end=$(od -A n -t u8 -j 112 -N 16 -- "$1" | awk '{ print $1 + $2 }')
        [ "$size" -ge "$end" ] || echo "it is cut short: $size of $end bytes"
    elif [ "$(bytes_at "$1" 0 4)" != 68737173 ] && [ "$(bytes_at "$1" 31 4)" != 68737173 ]; then # squashfs, bare or run
        echo "it is not a container image"
    fi
}
