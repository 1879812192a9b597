#!/usr/bin/env bash
# Makes this machine able to run `make demo` or `make test` (the one argument): Debian packages and a virtual environment.
# Does nothing, and asks no network, when all is there. Everything it says goes to stderr: stdout belongs to the command.
set -euo pipefail
cd "$(dirname "$0")/.."

purpose=${1:-}
venv=.venv

say() { printf 'memtui setup: %s\n' "$*" >&2; }

fail() {
    say "$*"
    exit 3
}

# What each purpose needs: PACKAGE, and the commands or files (patterns) of which any shows that it is there, from wherever it
# came. PACKAGE|OTHER: where apt has no PACKAGE, OTHER brings the same (Debian dropped google-perftools after 13).
demo_needs='
g++                      g++
libgoogle-perftools4     /usr/lib/*/libtcmalloc.so.4 /usr/lib/libtcmalloc.so.4 /usr/lib64/libtcmalloc.so.4 /usr/local/lib/libtcmalloc.so.4
'
test_needs='
binutils                 objcopy
binutils-gold|lld        ld.gold ld.lld
curl                     curl
e2fsprogs                mkfs.ext4 /sbin/mkfs.ext4 /usr/sbin/mkfs.ext4
file                     file
google-perftools|libjemalloc-dev google-pprof jeprof
golang-go                go
heaptrack                heaptrack_print
libgoogle-perftools-dev  /usr/lib/*/libtcmalloc.so /usr/lib/libtcmalloc.so /usr/lib64/libtcmalloc.so /usr/local/lib/libtcmalloc.so
libjemalloc-dev          /usr/lib/*/libjemalloc.a /usr/lib/libjemalloc.a /usr/lib64/libjemalloc.a
libjemalloc2             /usr/lib/*/libjemalloc.so.2 /usr/lib/libjemalloc.so.2 /usr/lib64/libjemalloc.so.2
linux-perf|linux-tools-generic perf
liblsan0                 /usr/lib/*/liblsan.so.0 /usr/lib/liblsan.so.0 /usr/lib64/liblsan.so.0
libmimalloc-dev          /usr/lib/*/libmimalloc.so /usr/lib/libmimalloc.so /usr/lib64/libmimalloc.so
llvm                     llvm-symbolizer
mariadb-server-core      mariadbd
memcached                memcached
musl-tools               musl-gcc
nginx                    nginx
nodejs                   node
ncurses-term             /usr/share/terminfo/t/tmux-256color /lib/terminfo/t/tmux-256color
shellcheck               shellcheck
procps                   pgrep
redis-server             redis-server
rustc                    rustc
tmux                     tmux
valgrind                 valgrind
'

is_there() {
    local sign
    for sign in "$@"; do
        case $sign in
        /*) compgen -G "$sign" >/dev/null && return 0 ;;
        *) command -v "$sign" >/dev/null && return 0 ;;
        esac
    done
    return 1
}

# The first interpreter that is new enough, or nothing.
find_python() {
    local python
    for python in ${PYTHON:-} python3 python3.14 python3.13 python3.12 python3.11 python3.10; do
        if command -v "$python" >/dev/null &&
            "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
            printf '%s\n' "$python"
            return
        fi
    done
}

missing_packages() {
    local needs=$demo_needs package signs python
    if [ "$purpose" = test ]; then needs+=$test_needs; fi
    while read -r package signs; do
        # The patterns are split here and expanded in is_there.
        set -f
        # shellcheck disable=SC2086
        set -- $signs
        set +f
        if [ -n "$package" ] && ! is_there "$@"; then printf '%s\n' "$package"; fi
    done <<<"$needs"
    if ! environment_is_ready; then
        python=$(find_python)
        if [ -z "$python" ]; then
            printf 'python3\npython3-venv\n'
        elif ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
            printf 'python3-venv\n'
        fi
    fi
}

is_debian() {
    command -v apt-get >/dev/null && grep -qiE '^ID(_LIKE)?=.*(debian|ubuntu)' /etc/os-release 2>/dev/null
}

# The words before a command that make it run as root; fails when there is no way that would not ask somebody who is not there.
root_prefix() {
    if [ "$(id -u)" = 0 ]; then
        return 0
    elif ! command -v sudo >/dev/null; then
        return 1
    elif sudo -n true 2>/dev/null; then
        printf 'sudo\n-n\n'
    elif { : </dev/tty; } 2>/dev/null; then
        printf 'sudo\n'
    else
        return 1
    fi
}

# Of each line "PACKAGE|OTHER" the one that apt can install; PACKAGE where it has neither, for apt to say so.
known_packages() {
    local package other
    while IFS='|' read -r package other; do
        if [ -n "$other" ] && ! apt-cache show "$package" >/dev/null 2>&1; then package=$other; fi
        printf '%s\n' "$package"
    done
}

install_packages() {
    local packages=("$@") prefix words
    if ! is_debian; then
        fail "needs what Debian calls ${packages[*]//|/ or }: install them with your system's package manager, then run make $purpose again"
    fi
    if ! words=$(root_prefix); then
        fail "needs ${packages[*]//|/ or }, and cannot become root: run apt-get install ${packages[*]%|*} as root, then make $purpose again"
    fi
    mapfile -t prefix < <(printf '%s' "$words")
    local apt=("${prefix[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y)
    say "installing ${packages[*]}"
    # An update that fails (no network, one bad mirror) does not mean that the packages cannot be had.
    "${apt[@]}" update </dev/null >&2 || true
    mapfile -t packages < <(printf '%s\n' "${packages[@]}" | known_packages)
    "${apt[@]}" install --no-install-recommends "${packages[@]}" </dev/null >&2 ||
        fail "could not install ${packages[*]}: see above"
}

fingerprint() {
    { cat pyproject.toml && pwd -P; } | sha256sum | cut -d ' ' -f 1
}

# A test environment has all that the demo needs.
environment_is_ready() {
    local stamp
    "$venv/bin/python" -c '' 2>/dev/null || return 1
    for stamp in "$venv/.ready-for-$purpose" "$venv/.ready-for-test"; do
        if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$(fingerprint)" ]; then return 0; fi
    done
    return 1
}

make_environment() {
    local pip=("$venv/bin/python" -m pip --disable-pip-version-check -q)
    if ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
        say "making a virtual environment in $venv"
        "$(find_python)" -m venv --clear "$venv" >&2 || fail "cannot make a virtual environment in $venv: see above"
    fi
    say "installing memtui's Python packages into $venv"
    if [ "$purpose" = test ]; then
        # --group came with pip 25.1; Debian 12 has 23.0.
        "${pip[@]}" install --upgrade 'pip>=25.1' >&2 && "${pip[@]}" install --editable . --group dev >&2
    else
        "${pip[@]}" install --editable . >&2
    fi || fail "could not install the Python packages: see above; when the network is back, run make $purpose again"
    fingerprint >"$venv/.ready-for-$purpose"
}

case $purpose in
demo | test) ;;
*) fail 'usage: scripts/setup.sh demo|test' ;;
esac
[ "$(uname -s)" = Linux ] || fail 'memtui runs on Linux only: it reads /proc'

mapfile -t missing < <(missing_packages)
if [ ${#missing[@]} -gt 0 ]; then install_packages "${missing[@]}"; fi
if ! environment_is_ready; then make_environment; fi
