"""Runs inside a GIMP with a screen and a bus: writes every path of its menus, as assistive technology reads them, to WORK/menus.json."""

import json
import os
import sys
import traceback

sys.path.insert(0, os.environ["TESTS"])
from gi.repository import Gimp, Gio, GLib
from inside import WORK, picture
from screen import until

ACCESSIBLE = "org.a11y.atspi.Accessible"


class Accessible:
    """What the accessibility bus tells of one widget."""

    def __init__(self, bus, name, path):
        self._bus, self._name, self._path = bus, name, path

    def _call(self, interface, method, arguments=None):
        return self._bus.call_sync(self._name, self._path, interface, method, arguments, None, 0, 5000, None).unpack()[0]

    def name(self):
        return self._call("org.freedesktop.DBus.Properties", "Get", GLib.Variant("(ss)", (ACCESSIBLE, "Name")))

    def role(self):
        return self._call(ACCESSIBLE, "GetRoleName")

    def children(self):
        return [Accessible(self._bus, *reference) for reference in self._call(ACCESSIBLE, "GetChildren")]


def connect():
    session = Gio.bus_get_sync(Gio.BusType.SESSION)
    (address,) = session.call_sync("org.a11y.Bus", "/org/a11y/bus", "org.a11y.Bus", "GetAddress", None, None, 0, 5000, None).unpack()
    flags = Gio.DBusConnectionFlags.AUTHENTICATION_CLIENT | Gio.DBusConnectionFlags.MESSAGE_BUS_CONNECTION
    return Gio.DBusConnection.new_for_address_sync(address, flags, None, None)


def menu_bar(widget):
    """The first menu bar in a widget."""
    if widget.role() == "menu bar":
        return widget
    return next(filter(None, map(menu_bar, widget.children())), None)


def paths(widget, above=()):
    for child in widget.children():
        if name := child.name():
            yield [*above, name]
            yield from paths(child, (*above, name))


try:
    image, *_ = picture()
    Gimp.Display.new(image)
    registry = Accessible(connect(), "org.a11y.atspi.Registry", "/org/a11y/atspi/accessible/root")
    bar = until(lambda: menu_bar(registry), "a menu bar")
    with open(os.path.join(WORK, "menus.json"), "w") as file:
        json.dump(list(paths(bar)), file)
except BaseException:
    traceback.print_exc()
