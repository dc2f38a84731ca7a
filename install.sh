#!/bin/sh
# Installs Deep Image Blending for the present user: daemon, command line, weights, GIMP plug-in. See --help.
set -eu
project=$(cd "$(dirname "$0")" && pwd)
data=${XDG_DATA_HOME:-$HOME/.local/share}/deep-image-blending
state=${XDG_STATE_HOME:-$HOME/.local/state}/deep-image-blending
venv=$data/venv
command=$HOME/.local/bin/blend-daemon
plugin=deep-image-blending
unit=${XDG_CONFIG_HOME:-$HOME/.config}/systemd/user/blend-daemon.service

usage() {
    cat <<EOF
./install.sh               install or update everything for the present user
./install.sh --demo        the same, then blend the shipped example and say where the picture is
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
    base=${XDG_CONFIG_HOME:-$HOME/.config}/GIMP
    {
        for folder in "$base"/3.*; do
            [ ! -d "$folder" ] || echo "$folder"
        done
        version=$(gimp-console --version 2>/dev/null || gimp --version 2>/dev/null || true)
        version=$(echo "$version" | sed -n 's/.*version \(3\.[0-9]*\).*/\1/p')
        # Development versions (odd numbers) keep their profile under the stable number that follows.
        case $version in *[13579]) version=3.$((${version#3.} + 1)) ;; esac
        [ -z "$version" ] || echo "$base/$version"
    } | sort -u
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
    profiles | while read -r profile; do
        rm -rf "$profile/plug-ins/$plugin" "$profile/plug-in-settings"/*"$plugin"*
        rmdir "$profile/plug-ins" "$profile/plug-in-settings" "$profile" 2>/dev/null || true
    done
    rm -rf "$data" "$state"
    # Where the daemon may have run, by its rule in protocol/runtime.py. The folder may be the user's own, so only its files go.
    if [ -n "${BLEND_DAEMON_RUNTIME_DIR:-}" ]; then
        remove_runtime "$BLEND_DAEMON_RUNTIME_DIR"
    else
        [ -z "${XDG_RUNTIME_DIR:-}" ] || remove_runtime "$XDG_RUNTIME_DIR/deep-image-blending"
        remove_runtime "/tmp/deep-image-blending-$(id -u)"
    fi
    rm -f "$command"
    echo "Deep Image Blending is removed."
}

install_plugin() {
    found=$(profiles)
    if [ -z "$found" ]; then
        echo
        echo "No GIMP 3 was found, so the plug-in is not installed; the command line works without it."
        echo "Debian 13, Ubuntu 25.04 and newer have it: apt-get install gimp gir1.2-gimp-3.0 python3-gi"
        echo "Then run this again."
    else
        python=$(/usr/bin/python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')
        echo "$found" | while read -r profile; do
            "$venv/bin/python" "$project/tools/assemble_plugin.py" "$profile/plug-ins" --python-version "$python" \
                --daemon-command "$venv/bin/blend-daemon" >/dev/null
            echo "Plug-in: $profile/plug-ins/$plugin (restart GIMP to see it)"
        done
        if ! /usr/bin/python3 -c 'import gi; gi.require_version("Gimp", "3.0")' 2>/dev/null; then
            "$project/tools/apt_install.sh" python3-gi gir1.2-gimp-3.0 || true
        fi
    fi
    if flatpak info org.gimp.GIMP >/dev/null 2>&1 || snap list gimp >/dev/null 2>&1; then
        echo "A Flatpak or Snap GIMP is here too. Its sandbox cannot reach the daemon's socket yet; use your distribution's GIMP 3."
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
"" | --demo) ;;
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
if [ -x "$command" ]; then "$command" stop >/dev/null 2>&1 || true; fi # an old daemon must not answer a new plug-in
"$project/tools/make_venv.sh" "$venv"
ln -sf "$venv/bin/blend-daemon" "$command"
"$command" weights
echo "Command: $command"
case :$PATH: in
*:"$(dirname "$command")":*) ;;
*) echo "  ($(dirname "$command") is not on your PATH; add it, or call the command by its full name)" ;;
esac
install_service
install_plugin
[ "${1:-}" != --demo ] || demo
