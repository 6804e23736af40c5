#!/usr/bin/env bash
# A machine for the rehearsal beside it: becomes a real systemd on a view of this machine's files, without any service of this machine.
#
#     unshare --mount --pid --uts --ipc --cgroup --fork --kill-child examples/systemd/trial-machine.sh FOLDER PROGRAM
#
# FOLDER is an empty one; PROGRAM is put to /usr/local/bin. What is written goes to memory, and is gone with the last of the processes.
# The network is this machine's. The repository is seen at its own path.
set -euo pipefail
folder=$1
program=$2
root=$folder/root
units=$root/lib/systemd/system

mount --make-rprivate /
mount -t tmpfs none "$folder"
mkdir "$folder"/{written,work,root}
mount -t overlay overlay -o "lowerdir=/,upperdir=$folder/written,workdir=$folder/work" "$root"
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
for name in run tmp dev; do
    mount -t tmpfs none "$root/$name"
done
for device in null zero full random urandom tty; do
    touch "$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir "$root"/dev/{pts,shm}
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"

# Nothing of this machine is started but the journal, and no setting of its own reaches the trial.
rm -rf "$root"/etc/systemd/system/*.wants "$units"/*.wants "$root"/lib/systemd/system-generators
rm -rf "$root"/etc/systemd/system/batch-export* "$root/etc/batch-export" "$root/srv/accounting"
mkdir "$units/sockets.target.wants"
ln -s ../systemd-journald.socket ../systemd-journald-dev-log.socket "$units/sockets.target.wants/"
: >"$root/etc/fstab"
# One that has an identity does not take this for its first start, at which it would enable what it finds.
echo 0123456789abcdef0123456789abcdef >"$root/etc/machine-id"

mkdir -p "$root$PWD" "$root/usr/local/bin" "$root/below"
mount --bind "$PWD" "$root$PWD"
install "$program" "$root/usr/local/bin/batch-export"

cd "$root"
# And not `chroot` alone: in one, no service gets a user namespace.
pivot_root . below
umount --lazy /below
# As systemd does where it is not in a container: credentials reach a service by mounts.
mount --make-rshared /
exec env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    chroot . /lib/systemd/systemd --system --unit=basic.target --log-target=journal --show-status=no
