# bash completion of busbar. The words come from busbar itself, so that they never age.

_busbar()
{
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} verb=${COMP_WORDS[1]} help
    COMPREPLY=()
    if ((COMP_CWORD == 1)); then
        mapfile -t COMPREPLY < <(compgen -W "$(busbar --help 2>/dev/null | sed -n 's/^  \([a-z]*\)  .*/\1/p')" -- "$word")
        return
    fi
    case $before in
    -c | --config | --replay | --answers | backup | test) mapfile -t COMPREPLY < <(compgen -f -- "$word") && compopt -o filenames && return ;;
    --state) mapfile -t COMPREPLY < <(compgen -W "draft pending retrying delivered rejected expired discarded" -- "$word") && return ;;
    esac
    help=$(busbar "$verb" --help 2>/dev/null) || return
    if [[ $word == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$(grep -oE -- '(^|[ [,])--?[a-z][a-z-]*' <<<"$help" | tr -d ' [,' | sort -u)" -- "$word")
    elif ((COMP_CWORD == 2)); then # the usage names the sub-commands: list | show ID | ...
        mapfile -t COMPREPLY < <(compgen -W "$(sed -n '1,/^$/p' <<<"$help" | sed "s/^usage: //; s/^ *busbar $verb//" |
            tr '|' '\n' | sed -n 's/^ *\([a-z]\{3,\}\).*/\1/p')" -- "$word")
    fi
    [[ ${#COMPREPLY[@]} -gt 0 ]] || { mapfile -t COMPREPLY < <(compgen -f -- "$word") && compopt -o filenames; }
}
complete -F _busbar busbar
