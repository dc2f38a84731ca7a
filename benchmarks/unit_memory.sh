#!/bin/sh
# The systemd unit under a kernel of its own, User Mode Linux, which kills a worker at the unit's MemoryMax.
#
#     benchmarks/unit_memory.sh
#
# Runs tests/service/test_managed_unit.py, in the environment that run-tests.sh sets up, where systemd runs the machine or control groups
# have no memory controller of version 2. Needs Debian's packages user-mode-linux, systemd, iproute2, gcc and libc6-dev, 3 GB of memory
# and two minutes; neither root nor KVM. The guest reads the machine's files and can write none.
# The last line is the kernel's, on what it killed.
set -eu

inside() {
    mount -t hostfs -o "$SHARED" hostfs /mnt
    mount -t proc proc /proc
    mount -t sysfs sysfs /sys
    mount -t cgroup2 cgroup2 /sys/fs/cgroup
    mkdir /dev/shm
    for folder in /dev/shm /run /tmp; do mount -t tmpfs tmpfs "$folder"; done
    ip link set lo up
    cd "$(dirname "$0")/.."
    export XDG_STATE_HOME=/tmp/state
    .venv/bin/python -m pytest -p no:cacheprovider --color no -rs tests/service/test_managed_unit.py && code=0 || code=$?
    { echo "$code"; dmesg | sed -n "/Killed process/p"; } >/mnt/outcome
    umount /mnt
    echo o >/proc/sysrq-trigger
    sleep 60
}

[ $$ != 1 ] || inside

for file in /usr/bin/linux.uml /lib/systemd/systemd /sbin/ip /usr/bin/gcc; do
    [ -e "$file" ] || { echo "$file is missing: apt-get install user-mode-linux systemd iproute2 gcc libc6-dev" >&2; exit 1; }
done
folder=$(mktemp -d)
trap 'rm -r "$folder"' EXIT
# Linux takes a processor's extended state only as a whole, of which Debian 12's User Mode Linux knows no more than AVX-512. What follows
# (AMX) stays as it is.
gcc -shared -fPIC -o "$folder/state.so" -x c - <<'STATE'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <string.h>
#include <sys/uio.h>
enum { GETREGSET = 0x4204, SETREGSET };
long ptrace(long request, long process, void *set, void *data)
{
    static char state[65536];
    struct iovec *known = data, all = {state, sizeof state};
    long (*next)(long, long, void *, void *) = dlsym(RTLD_NEXT, "ptrace");
    if (request != SETREGSET || next(GETREGSET, process, set, &all)) return next(request, process, set, data);
    memcpy(state, known->iov_base, known->iov_len);
    return next(SETREGSET, process, set, &all);
}
STATE
LD_PRELOAD="$folder/state.so" linux.uml mem=4G rootfstype=hostfs rootflags=/ ro quiet con=null con0=null,fd:1 uml_dir="$folder" \
    init="$(realpath "$0")" HOME="$HOME" PATH="$PATH" SHARED="$folder" </dev/null 2>"$folder/errors" || cat "$folder/errors" >&2
{ read -r code; cat; } <"$folder/outcome"
exit "$code"
