"""A Debian root with a real GIMP 3, for machines whose own GIMP is older.

    python tests/gimp/root.py [--missing] [3.0 3.2 ...]     builds what is not there yet and prints where it is

With --missing a version that the machine itself has needs no root.

GIMP 3.0 comes with Debian 13 (trixie), GIMP 3.2 with forky. A root is built once, under the user's cache folder, and works in a
sandbox of bubblewrap's, so that no step needs more rights than the caller has.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

SUITES = {"3.0": "trixie", "3.2": "forky"}
PACKAGES = "gimp,python3-gi,gir1.2-gimp-3.0,xvfb,xauth,xdotool,imagemagick,at-spi2-core,fonts-dejavu-core,locales"
WITNESSES = ("usr/bin/gimp-console", "usr/share/i18n/locales/de_DE")  # files of a root that holds all of them


def cache() -> Path:
    """Folder of the roots."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "deep-image-blending" / "gimp-roots"


def ensure(version: str) -> Path:
    """The root for a GIMP version, built if need be. It appears whole or not at all."""
    suite = SUITES[version]
    final = cache() / suite
    if all((final / witness).exists() for witness in WITNESSES):
        return final
    for tool in ("mmdebstrap", "bwrap"):
        if not shutil.which(tool):
            raise SystemExit(f"{tool} is needed to build a root with GIMP {version}: apt-get install mmdebstrap bubblewrap")
    cache().mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(dir=cache(), prefix=f".{suite}-"))
    command = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={PACKAGES}"]
    if os.getuid():
        command.append("--mode=unshare")
        work.chmod(0o755)
    if suite != "trixie":
        command.append('--aptopt=Acquire::Check-Valid-Until "false"')  # a suite in the making, whose mirror may lag behind
    # As a tar, unpacked by us: the files then belong to the caller and can be removed by the caller.
    archive = work / "root.tar"
    print(f"Building a Debian root with GIMP {version} in {final}; this takes some minutes.", file=sys.stderr, flush=True)
    try:
        subprocess.run([*command, suite, str(archive)], check=True)
        unpack = ["tar", "--extract", "--file", str(archive), "--directory", str(work), "--exclude=./dev/*", "--no-same-owner"]
        subprocess.run(unpack, check=True)
        archive.unlink()
        shutil.rmtree(final, ignore_errors=True)
        work.rename(final)
    except BaseException:
        subprocess.run(["chmod", "-R", "u+rwX", str(work)], check=False)
        shutil.rmtree(work, ignore_errors=True)
        raise
    return final


def own_version() -> str | None:
    """The version of the machine's own GIMP, such as "3.0", or None."""
    if not shutil.which("gimp-console"):
        return None
    said = subprocess.run(["gimp-console", "--version"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"version (\d+\.\d+)", said)
    return found[1] if found else None


if __name__ == "__main__":
    words = sys.argv[1:]
    own = own_version() if "--missing" in words else None
    for wanted in [word for word in words if word != "--missing"] or ["3.0"]:
        print(f"GIMP {wanted}: {'the machine itself' if wanted == own else ensure(wanted)}")
