#!/bin/sh
# A command of batch-export by hand, with the settings, the secrets and the user of batch-export.service and its drop-ins. For root.
#
#     examples/systemd/by-hand.sh doctor
#     examples/systemd/by-hand.sh unlock --date 2026-01-18 --reason 'quota raised'
#
# The package for Debian and Ubuntu installs it as batch-export-by-hand.
#
# A shell has not these settings, and systemd alone hands the secrets over. So the command is run as a service of its own, by systemd-run,
# which needs the system's D-Bus. Its output and its exit code come back here.
#
# Risk: a command that works here and fails at 18:00, or a file that the services may not replace. So nothing of the unit is repeated here:
# systemd is asked.
set -eu
unit=batch-export.service
own=batch-export-by-hand-$$.service

of_the_unit() {
    systemctl show --value --property "$1" "$unit"
}
[ "$(of_the_unit LoadState)" = loaded ] || { echo "by-hand: systemd has no $unit" >&2 && exit 1; }
# The places of the settings and the secrets. An empty line in a drop-in takes back those before it.
places=$(systemctl cat "$unit" | awk -F= '
    /^(LoadCredential|EnvironmentFile)=/ { if ($2 == "") all[$1] = ""; else all[$1] = all[$1] " --property=" $0 }
    END { for (name in all) print all[name] }')
# Of a missing one systemd tells the journal alone.
copies=
for place in $places; do
    case $place in
        --property=LoadCredential=*)
            file=${place#*:}
            copies="$copies, $file is ${place#--property=LoadCredential=}"
            copies=${copies%:"$file"}
            ;;
        --property=EnvironmentFile=-*) continue ;;
        *) file=${place#--property=EnvironmentFile=} ;;
    esac
    [ -e "$file" ] || { echo "by-hand: $file is missing, or this is not root; systemctl cat $unit names it" >&2 && exit 30; }
done
# The program of the services, which need not be the first one on the path.
program=$(of_the_unit ExecStart | sed -n 's/^{ path=\([^ ;]*\).*/\1/p' | head -n 1)
[ -x "$program" ] || { echo "by-hand: the program of $unit, ${program:-which it does not name}, is missing" >&2 && exit 30; }
# For the eyes of a person: the texts of the program name what it was called by.
[ ! -t 2 ] || echo "by-hand: for \`batch-export\` type \`$0\`${copies:+; below /run/credentials$copies}" >&2
# The secrets of the other service are in a folder of that name.
variables=$(of_the_unit Environment | sed "s#/run/credentials/$unit/#/run/credentials/$own/#g; s#^#--setenv=#; s# # --setenv=#g")

# Words of the unit, none with a blank inside, so they are split.
# shellcheck disable=SC2086
exec systemd-run --quiet --pipe --wait --collect --unit="$own" $places $variables \
    --property="User=$(of_the_unit User)" --property="DynamicUser=$(of_the_unit DynamicUser)" \
    --property="SupplementaryGroups=$(of_the_unit SupplementaryGroups)" --property="UMask=$(of_the_unit UMask)" \
    --property="ReadWritePaths=$(of_the_unit ReadWritePaths)" \
    --property=CacheDirectory=batch-export --property=CacheDirectoryMode=0700 -- "$program" "$@"
