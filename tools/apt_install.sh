#!/bin/sh
# Installs Debian packages where that may be done without asking, otherwise names the command that does it.
set -eu
command="apt-get install --yes --no-install-recommends $*"
if ! command -v apt-get >/dev/null; then
    echo "These are missing: $*. Install them with your package manager and run this again." >&2
    exit 1
fi
sudo=
if [ "$(id -u)" != 0 ]; then
    if ! sudo -n true 2>/dev/null; then
        echo "These are missing: $*. Run this and try again:  sudo $command" >&2
        exit 1
    fi
    sudo="sudo -n"
fi
echo "Installing $*"
set -- env DEBIAN_FRONTEND=noninteractive # behind sudo, which passes on no variable
$sudo "$@" apt-get update -qq
# shellcheck disable=SC2086 # a list of words
$sudo "$@" $command -qq >/dev/null
