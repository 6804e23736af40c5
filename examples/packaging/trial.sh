#!/usr/bin/env bash
# Installs, upgrades, removes and purges the package, and looks at what each leaves. For a machine on which nothing is to be kept: it
# installs systemd, and changes /etc. `.ci/bare examples/packaging/trial.sh FOLDER` has such a machine.
#
#     examples/packaging/trial.sh FOLDER      the folder that build.sh has filled
set -euo pipefail
cd "$1"
export DEBIAN_FRONTEND=noninteractive

give_up() {
    printf 'package trial: %s\n' "$*" >&2
    exit 1
}
say() {
    printf '\n== %s\n' "$*"
}
apt() {
    said=$(apt-get -qq -o Dpkg::Use-Pty=0 -y "$@" 2>&1) || { echo "$said" >&2 && give_up "apt-get $* failed"; }
}
# What the package itself says when it comes or goes.
words() {
    grep '^batch-export: ' <<<"$said" || true
}
# What is left of the package outside of its own documents.
left() {
    find /etc /usr /var/cache /lib/systemd -name '*batch-export*' -not -path '/usr/share/doc/*' | sort -u
}
is() {
    [ "$2" = "$3" ] || give_up "$1 should be: $3; it is: $2"
    printf '%s: %s\n' "$1" "${2//$'\n'/ }"
}

say 'The files are whole'
sha256sum --check --quiet SHA256SUMS
package=$(echo ./batch-export_*.deb)
tarball=$(echo batch-export-*.tar.gz)
version=$(dpkg-deb --field "$package" Version)
is 'files in the tarball and not in the package, or the other way round' \
    "$(diff <(tar tzf "$tarball" | sed 's#^[^/]*/#./#; /\/$/d' | sort) <(dpkg-deb --fsys-tarfile "$package" | tar t | sed '/\/$/d' | sort))" ''

say "apt install $package"
apt update
apt install --no-install-recommends systemd
# Whoever had the services before may have left their group.
groupadd --system batch-export
apt install --no-install-recommends "$package"
off='batch-export: the timers are off. Once /etc/default/batch-export has the settings, run `systemctl enable --now batch-export.timer batch-export-retry.timer`'
once='batch-export: after an upgrade run `batch-export-by-hand init` once'
is 'words of the installation' "$(words)" "$off"
is 'the program' "$(batch-export --version)" "batch-export $version"
is 'its user' "$(getent passwd batch-export | cut -d: -f6,7)" /nonexistent:/usr/sbin/nologin
is 'the folder of the secrets' "$(stat -c '%U %a' /etc/batch-export)" 'root 700'
is 'words about the units' "$(systemd-analyze verify --man=no /usr/lib/systemd/system/batch-export*.{service,timer} 2>&1)" ''
is 'timers that the installation started' "$(find /etc/systemd/system -name 'batch-export*')" ''
sh -n "$(command -v batch-export-by-hand)"
for command in run retry status verify corrections doctor init; do
    zcat "/usr/share/man/man1/batch-export-$command.1.gz" | grep -q "batch-export" || give_up "no manual page of $command"
done
bash -n /usr/share/bash-completion/completions/batch-export
cd /usr/share/doc/batch-export
grep -oE '(examples|src|tests|target)/[A-Za-z0-9_./*-]*|crontab\.example|\]\([a-zA-Z][^)]*' README.md | sed 's/^\](//' | sort -u >/tmp/named
[ "$(wc -l </tmp/named)" -ge 8 ] || give_up 'the README names hardly any file'
while read -r file; do
    # A pattern is one of files that are there.
    compgen -G "${file%.}" >/dev/null || give_up "the README names $file, which the package lacks"
done </tmp/named
cd - >/dev/null
grep -q '^MIT License' /usr/share/doc/batch-export/copyright || give_up 'the licence is missing'
is 'the log of changes' "$(zcat /usr/share/doc/batch-export/changelog.gz | head -n 1)" "batch-export ($version) unstable; urgency=medium"
# With nothing set it says what is missing, as the user of the services.
code=0
said=$(setpriv --reuid batch-export --regid batch-export --clear-groups batch-export run 2>&1) || code=$?
is 'code of a run without settings' "$code" 30
echo "$said"

say 'The same package once more, after settings were given: they stay'
systemctl --quiet enable batch-export.timer batch-export-retry.timer
echo 'BATCH_EXPORT_DESTINATION=file:///srv/accounting' >/etc/default/batch-export
echo mongodb://127.0.0.1/ >/etc/batch-export/mongodb-uri
install -d -o batch-export /srv/accounting
install -o batch-export /dev/null /srv/accounting/batch_2026-01-18.csv
apt install --reinstall -o Dpkg::Options::=--force-confold "$package"
is 'words of an upgrade' "$(words)" "$once"
is 'settings' "$(cat /etc/default/batch-export)" BATCH_EXPORT_DESTINATION=file:///srv/accounting
is 'timers' "$(systemctl is-enabled batch-export.timer batch-export-retry.timer)" $'enabled\nenabled'

say 'apt remove: the program goes, settings and secrets stay'
apt remove batch-export
is 'left' "$(left)" $'/etc/batch-export\n/etc/default/batch-export'
[ -s /etc/batch-export/mongodb-uri ] || give_up 'the secret is gone'

say 'apt install once more: the timers are off, and it says so'
apt install --no-install-recommends "$package"
is 'words of the installation' "$(words)" "$once"$'\n'"$off"

say 'apt purge: settings and secrets go; exported files, their owner and what was added by hand stay'
mkdir /etc/systemd/system/batch-export.service.d
apt purge batch-export
is 'left' "$(left)" /etc/systemd/system/batch-export.service.d
is 'words of the removal' "$(words)" 'batch-export: /etc/systemd/system/batch-export.service.d stays, because it is not of this package'
is 'owner of the file that was exported' "$(stat -c %U /srv/accounting/batch_2026-01-18.csv)" batch-export
say 'The package comes and goes as it should'
