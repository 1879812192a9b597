#!/usr/bin/env bash
# Runs `make test` (or another target) of the last commit in a fresh Debian of another release:
#   scripts/test-on.sh trixie|sid|… [TARGET [VARIABLE=VALUE …]]
# The system is made with debootstrap in $MEMTUI_CHROOTS (/var/tmp/memtui-chroots), and kept for the next time; needs root.
# All that the run mounts and starts is in namespaces of its own, and is gone when it ends.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'memtui test-on: %s\n' "$*" >&2; }

fail() {
    say "$*"
    exit 3
}

suite=${1:-}
[[ $suite =~ ^[a-z]+$ ]] || fail 'usage: scripts/test-on.sh SUITE [TARGET [VARIABLE=VALUE …]], SUITE as trixie or sid'
shift
[ $# -gt 0 ] || set -- test
[ "$(id -u)" = 0 ] || fail "needs root for debootstrap and chroot: sudo scripts/test-on.sh $suite"
command -v debootstrap >/dev/null || fail 'needs debootstrap: apt-get install debootstrap'

mirror=${MEMTUI_DEBIAN_MIRROR:-http://deb.debian.org/debian}
chroots=${MEMTUI_CHROOTS:-/var/tmp/memtui-chroots}
root=$chroots/$suite

if [ ! -e "$root/.ready" ]; then
    say "making $root"
    rm -rf "$root"
    mkdir -p "$root"
    debootstrap --variant=minbase --include=ca-certificates,git,make,python3,python3-venv "$suite" "$root" "$mirror" >&2 ||
        fail "debootstrap could not make $suite: see above and $root/debootstrap"
    touch "$root/.ready"
fi

# A mirror may stand still for longer than its index says that it is good.
echo 'Acquire::Check-Valid-Until "false";' >"$root/etc/apt/apt.conf.d/99memtui-test-on"
# Names and certificates are looked up as on this machine, which may stand behind a proxy of its own.
cp /etc/resolv.conf "$root/etc/resolv.conf"
if [ -e /etc/ssl/certs/ca-certificates.crt ]; then
    cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
fi
rm -rf "$root/srv/memtui"
git clone -q --no-hardlinks . "$root/srv/memtui"

# shellcheck disable=SC2016
exec unshare --mount --pid --fork --kill-child --propagation private bash -euc '
    root=$1
    shift
    mount --bind "$root" "$root"
    mount -t proc proc "$root/proc"
    mount -t sysfs sysfs "$root/sys"
    if [ -d /sys/fs/cgroup ]; then mount --rbind /sys/fs/cgroup "$root/sys/fs/cgroup"; fi
    mount --rbind /dev "$root/dev"
    mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
    exec chroot "$root" env -i HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        LANG=C.UTF-8 TERM="${TERM:-dumb}" CI="${CI:-true}" make -C /srv/memtui "$@"
' test-on "$root" "$@"
