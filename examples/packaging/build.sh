#!/usr/bin/env bash
# Makes what is handed to others: a .deb, a tarball with the same content, a list of components (SBOM, CycloneDX), and SHA256SUMS.
#
#     examples/packaging/build.sh [FOLDER]      writes them to FOLDER, by default target/dist
#     examples/packaging/build.sh --flags       prints the RUSTFLAGS of the build, for whoever wants to share what it compiled
#
# Two builds of the same sources give the same bytes, in whatever folders: no path of this machine, no clock and no order of a file system
# gets in. The time that files bear is SOURCE_DATE_EPOCH, else that of the last commit. The binary holds the list of the libraries it was made
# from (`cargo audit bin` reads it). That list has about ten libraries which are not in the binary and not in the SBOM, such as ring and quinn:
# cargo counts an optional library as used when another one's feature only mentions it (`name?/feature`), and no stable cargo tells
# otherwise. What the package installs is in stage() below, file by file.
#
# Risk: a package that installs and does not run. So trial.sh beside this file installs, upgrades, removes and purges it on a bare machine.
set -euo pipefail
# dpkg-deb refuses folders that only their owner can read.
umask 022
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
here=examples/packaging

# Paths that end up in messages of the binary. The registry is named as the compiler sees it.
flags="--remap-path-prefix=$PWD=/batch-export --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo"
if [ "${1-}" = --flags ]; then
    printf '%s\n' "$flags"
    exit
fi
if [ -z "${SOURCE_DATE_EPOCH:-}" ]; then
    SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2>/dev/null) ||
        { echo "build: no commit here to take the time of the files from: set SOURCE_DATE_EPOCH, in seconds since 1970" >&2 && exit 1; }
fi
export SOURCE_DATE_EPOCH
sh examples/needs.sh package

mkdir -p "${1:-target/dist}"
out=$(cd "${1:-target/dist}" && pwd)
mkdir -p "${CARGO_TARGET_DIR:-target}"
target=$(cd "${CARGO_TARGET_DIR:-target}" && pwd)
export CARGO_TARGET_DIR=$target
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
architecture=$(dpkg --print-architecture)

# The tool that embeds the list, at the version that was tried; kept between builds.
tools=$target/tools
[ -x "$tools/bin/cargo-auditable" ] ||
    cargo install --quiet --locked --root "$tools" --target-dir "$tools/build" cargo-auditable@0.7.7
rm -rf "$tools/build"

echo "building batch-export $version"
PATH="$tools/bin:$PATH" RUSTFLAGS=$flags cargo auditable build --quiet --release --locked --bin batch-export
program=$target/release/batch-export
objdump -h "$program" | grep -q ' \.dep-v0 ' || { echo "build: the binary holds no list of its libraries" >&2 && exit 1; }

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
root=$scratch/batch-export-$version

put() {
    install -D -m "${3:-644}" "$1" "$root/$2"
}
# For systemd, to the folder $2: the package brings a user of its own, whose name stays that of the files it has exported; and its places
# are Debian's.
put_for_systemd() {
    sed -e 's#/usr/local/bin/#/usr/bin/#; s#/etc/batch-export/env#/etc/default/batch-export#; /^DynamicUser=/d' "$1" >"$scratch/unit"
    put "$scratch/unit" "$2/$(basename "$1")"
}
stage() {
    local unit page shell
    put "$program" usr/bin/batch-export 755
    for unit in examples/systemd/batch-export*.service examples/systemd/batch-export*.timer; do
        put_for_systemd "$unit" usr/lib/systemd/system
    done
    put examples/systemd/by-hand.sh usr/bin/batch-export-by-hand 755
    put $here/default etc/default/batch-export
    install -d -m 700 "$root/etc/batch-export"
    mkdir "$scratch/man"
    "$program" man "$scratch/man" >/dev/null
    for page in "$scratch"/man/*; do
        gzip -9n "$page"
        put "$page.gz" "usr/share/man/man1/$(basename "$page").gz"
    done
    for shell in bash zsh fish; do
        "$program" completions "$shell" >"$scratch/$shell"
    done
    put "$scratch/bash" usr/share/bash-completion/completions/batch-export
    put "$scratch/zsh" usr/share/zsh/vendor-completions/_batch-export
    put "$scratch/fish" usr/share/fish/vendor_completions.d/batch-export.fish
    local doc=usr/share/doc/batch-export
    # Without what only somebody with the sources can use.
    sed '/^<!-- sources -->$/,/^<!-- end of sources -->$/d' README.md | cat -s >"$scratch/README.md"
    put "$scratch/README.md" $doc/README.md
    put crontab.example $doc/crontab.example
    # What the README then names: each path leads somewhere from its own folder.
    for page in examples/{kubernetes,layouts,monitoring,schema}/* examples/load_test/capacity.svg; do
        [ ! -f "$page" ] || put "$page" "$doc/$page"
    done
    for unit in examples/systemd/*.conf; do
        put_for_systemd "$unit" $doc/examples/systemd
    done
    ln -sr "$root"/usr/lib/systemd/system/* "$root/$doc/examples/systemd"
    ln -sr "$root/usr/bin/batch-export-by-hand" "$root/$doc/examples/systemd/by-hand.sh"
    python3 $here/components.py licences >"$scratch/copyright"
    put "$scratch/copyright" $doc/copyright
    # Of a package that Debian knows no other sources of; what has changed is in the README.
    printf '%s\n' "batch-export ($version) unstable; urgency=medium" '' '  * See README.md, "Changes".' '' \
        " -- $(sed -n 's/^Maintainer: //p' $here/debian/control)  $(LC_ALL=C date -u -R -d "@$SOURCE_DATE_EPOCH")" | gzip -9n >"$scratch/changelog.gz"
    put "$scratch/changelog.gz" $doc/changelog.gz
}
stage
python3 $here/components.py sbom >"$out/batch-export-$version.cdx.json"

control() {
    mkdir -p "$root/DEBIAN" "$scratch/shlibs/debian"
    : >"$scratch/shlibs/debian/control"
    local depends size
    depends=$(cd "$scratch/shlibs" && dpkg-shlibdeps -O -e"$program" 2>/dev/null | sed 's/^shlibs:Depends=//')
    size=$(du -sk --apparent-size --exclude=DEBIAN "$root" | cut -f1)
    sed -e "s/@version@/$version/; s/@architecture@/$architecture/; s/@depends@/$depends/; s/@size@/$size/" $here/debian/control >"$root/DEBIAN/control"
    echo /etc/default/batch-export >"$root/DEBIAN/conffiles"
    install -m 755 $here/debian/postinst $here/debian/prerm $here/debian/postrm "$root/DEBIAN"
    (cd "$root" && find usr -type f -print0 | LC_ALL=C sort -z | xargs -0 md5sum) >"$root/DEBIAN/md5sums"
    chmod 644 "$root"/DEBIAN/{control,conffiles,md5sums}
}

chmod -R u=rwX,go=rX "$root"
chmod 700 "$root/etc/batch-export"
# The tarball first, because it has the same files and nothing of Debian's own.
tarball=$out/batch-export-$version-$architecture.tar.gz
tar --create --directory "$scratch" --format=gnu --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner \
    "batch-export-$version" | gzip -9n >"$tarball"
control
find "$root" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
dpkg-deb --root-owner-group -Zxz --build "$root" "$out/batch-export_${version}_$architecture.deb" >/dev/null
(cd "$out" && LC_ALL=C sha256sum batch-export[-_]"$version"* >SHA256SUMS && cat SHA256SUMS)
