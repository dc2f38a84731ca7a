#!/bin/sh
# Installs Deep Image Blending for the present user: daemon, command line, weights, GIMP plug-in. See --help.
set -eu
project=$(cd "$(dirname "$0")" && pwd)
if [ "$(uname -s)" = Darwin ]; then # not yet run there
    support="$HOME/Library/Application Support"
    data=${XDG_DATA_HOME:-$support}/deep-image-blending
    state=${XDG_STATE_HOME:-$support}/deep-image-blending
    gimps="$support/GIMP"
    PATH=$PATH:/Applications/GIMP.app/Contents/MacOS
else
    data=${XDG_DATA_HOME:-$HOME/.local/share}/deep-image-blending
    state=${XDG_STATE_HOME:-$HOME/.local/state}/deep-image-blending
    gimps=${XDG_CONFIG_HOME:-$HOME/.config}/GIMP
fi
venv=$data/venv
command=$HOME/.local/bin/blend-daemon
plugin=deep-image-blending
flatpak=org.gimp.GIMP
unit=${XDG_CONFIG_HOME:-$HOME/.config}/systemd/user/blend-daemon.service

usage() {
    cat <<EOF
./install.sh               install or update everything for the present user
./install.sh --demo        the same, then blend the shipped example and say where the picture is
./install.sh --fleet       the same as without, with Ray, for workers on other machines (docs/fleet.md)
./install.sh --uninstall   remove everything that the installer and the daemon have put on this machine

Daemon and weights go to $data, the command to $command,
the plug-in to GIMP's own plug-ins folder, the systemd service, if there is one, to $unit.
Nothing else is touched.
EOF
}

# GIMP's profile folders, one a line, for each GIMP 3 that is here or has been started once.
profiles() {
    if [ -n "${GIMP3_DIRECTORY:-}" ]; then
        echo "$GIMP3_DIRECTORY"
        return
    fi
    {
        for folder in "$gimps"/3.*; do
            [ ! -d "$folder" ] || echo "$folder"
        done
        version=$(gimp-console --version 2>/dev/null || gimp --version 2>/dev/null || true)
        version=$(echo "$version" | sed -n 's/.*version \(3\.[0-9]*\).*/\1/p')
        [ -z "$version" ] || echo "$gimps/$(profile_of "$version")"
        flatpak_profiles
    } | sort -u
}

# The profile's name of a GIMP version: development versions (odd numbers) keep theirs under the stable number that follows.
profile_of() {
    case $1 in *[13579]) echo "3.$((${1#3.} + 1))" ;; *) echo "$1" ;; esac
}

# Those of a Flatpak's GIMP. Flatpak shows it the user's own folder of GIMP in the place of its own if there is one: its manifest asks for that.
flatpak_profiles() {
    version=$(LC_ALL=C flatpak info "$flatpak" 2>/dev/null | sed -n 's/^ *Version: *\(3\.[0-9]*\).*/\1/p')
    [ -n "$version" ] || return 0
    own=$HOME/.var/app/$flatpak/config/GIMP
    if [ -d "$own" ] && [ ! -d "$gimps" ]; then echo "$own/$(profile_of "$version")"; else echo "$gimps/$(profile_of "$version")"; fi
}

# The daemon as a systemd service of the user's, where there is such a thing; elsewhere it is started when it is needed.
install_service() {
    systemctl --user show-environment >/dev/null 2>&1 || return 0
    mkdir -p "$(dirname "$unit")"
    "$venv/bin/python" "$project/tools/user_unit.py" "$venv/bin/blend-daemon" >"$unit"
    if systemctl --user daemon-reload && systemctl --user enable --now blend-daemon.service 2>/dev/null; then
        echo "Service: blend-daemon.service (systemctl --user status blend-daemon)"
    else
        rm -f "$unit"
        echo "The systemd service could not be started; the daemon is started when it is needed."
    fi
}

# What a daemon makes in its runtime folder, and the folder if nothing else is in it. Never through a link: the daemon uses none.
remove_runtime() {
    [ -d "$1" ] && [ ! -L "$1" ] || return 0
    rm -f "$1/lock" "$1/socket"
    for socket in "$1"/worker-*; do
        case ${socket##*/worker-} in '' | *[!0-9]*) ;; *) rm -f "$socket" ;; esac
    done
    rmdir "$1" 2>/dev/null || true
}

uninstall() {
    if [ -f "$unit" ]; then
        systemctl --user disable --now blend-daemon.service 2>/dev/null || true
        rm -f "$unit"
        systemctl --user daemon-reload 2>/dev/null || true
    fi
    if [ -x "$command" ]; then "$command" stop || true; fi
    { profiles && find "$HOME/.var/app/$flatpak/config/GIMP" -maxdepth 1 -name '3.*' 2>/dev/null; } | while read -r profile; do
        rm -rf "$profile/plug-ins/$plugin"
        find "$profile/plug-in-settings" -maxdepth 1 -name "*$plugin*" -exec rm -rf {} + 2>/dev/null || true
        rmdir "$profile/plug-ins" "$profile/plug-in-settings" "$profile" 2>/dev/null || true
    done
    rm -rf "$data" "$state"
    # Where else the daemon may have run, by its rule in blend_protocol/runtime.py. The folder may be the user's own, so only its files go.
    if [ -n "${BLEND_DAEMON_RUNTIME_DIR:-}" ]; then
        remove_runtime "$BLEND_DAEMON_RUNTIME_DIR"
    else
        [ -z "${XDG_RUNTIME_DIR:-}" ] || remove_runtime "$XDG_RUNTIME_DIR/deep-image-blending"
        remove_runtime "/tmp/deep-image-blending-$(id -u)"
    fi
    rm -f "$command"
    echo "Deep Image Blending is removed."
}

# The Python that the distribution's GIMP runs plug-ins with: not that of an environment which happens to be active.
system_python() {
    PATH=/usr/bin:/bin:/usr/local/bin python3 "$@"
}

install_plugin() {
    found=$(profiles)
    if [ -z "$found" ]; then
        echo
        echo "No GIMP 3 was found, so the plug-in is not installed; the command line works without it."
        echo "Debian 13, Ubuntu 25.04 and newer have it: apt-get install gimp gir1.2-gimp-3.0 python3-gi"
        echo "Elsewhere there is Flatpak: flatpak install flathub org.gimp.GIMP. Then run this again."
    else
        echo "$found" | while read -r profile; do
            "$venv/bin/python" "$project/tools/assemble_plugin.py" "$profile/plug-ins" \
                --daemon-command "$venv/bin/blend-daemon" >/dev/null
            echo "Plug-in: $profile/plug-ins/$plugin (restart GIMP to see it)"
        done
        if command -v gimp >/dev/null && ! system_python -c 'import gi; gi.require_version("Gimp", "3.0")' 2>/dev/null; then
            "$project/tools/apt_install.sh" python3-gi gir1.2-gimp-3.0 || true
        fi
    fi
    if flatpak info "$flatpak" >/dev/null 2>&1 && [ ! -f "$unit" ]; then
        echo "The GIMP from Flatpak cannot start the daemon: run \`blend-daemon start\` in a terminal before you blend."
    fi
    if snap list gimp >/dev/null 2>&1; then
        echo "The GIMP from Snap is not served: its sandbox sees neither the plug-in's folder nor the daemon's socket. Use another GIMP 3."
    fi
}

demo() {
    out=${XDG_PICTURES_DIR:-$PWD}/deep-image-blending-demo.png
    example=$project/examples/cat-on-canvas
    echo
    echo "Blending the example ..."
    "$command" blend --source "$example/source.png" --mask "$example/mask.png" --target "$example/target.png" \
        --offset "$(cat "$example/offset")" --output "$out"
    echo "The blended picture is $out"
}

case ${1:-} in
"" | --demo | --fleet) ;;
--uninstall)
    uninstall
    exit 0
    ;;
--help | -h)
    usage
    exit 0
    ;;
*)
    usage >&2
    exit 2
    ;;
esac

mkdir -p "$data" "$(dirname "$command")"
"$project/tools/make_venv.sh" "$venv" --weights
[ "${1:-}" != --fleet ] || : >"$data/fleet" # an update keeps Ray
if [ -e "$data/fleet" ]; then
    pin=$(grep '^ray==' "$project/requirements.lock")
    "$venv/bin/python" -m pip install --disable-pip-version-check --quiet --constraint "$project/requirements.lock" "$pin"
fi
ln -sf "$venv/bin/blend-daemon" "$command"
echo "Command: $command"
case :$PATH: in
*:"$(dirname "$command")":*) ;;
*)
    echo "  Its folder is not on your PATH yet. Debian and Ubuntu add it when you log in again; until then, or elsewhere in your shell's"
    echo "  start file:  export PATH=\"$(dirname "$command"):\$PATH\""
    ;;
esac
install_service
install_plugin
[ "${1:-}" != --demo ] || demo
