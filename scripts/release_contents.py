#!/usr/bin/env python3
"""Whether an sdist and a wheel hold what they should, and nothing else: release_contents.py VERSION FILE FILE."""

from __future__ import annotations

import sys
import tarfile
import zipfile
from pathlib import Path

PACKAGE = (
    "edgewidth/py.typed",
    "edgewidth/cli/main.py",
    "edgewidth/devices/on_device/runner.py",
    "edgewidth/report/templates/report.html.j2",
    "edgewidth/report/templates/style.css",
)
"""Of the package, a file of every kind."""
PROFILES = Path(__file__).parents[1] / "device_profiles"


def wrong(path: Path, version: str) -> list[str]:
    """What is wrong with a file of a release, a line each."""
    if path.suffix == ".whl":
        with zipfile.ZipFile(path) as wheel:
            names, folder, profiles = set(wheel.namelist()), "", "edgewidth/device_profiles"
    else:
        with tarfile.open(path) as sdist:
            names, folder, profiles = set(sdist.getnames()), f"edgewidth-{version}/", "device_profiles"
    wanted = [*PACKAGE, *(f"{profiles}/{profile.name}" for profile in PROFILES.glob("*.toml"))]
    found = [f"{path.name} lacks {name}" for name in wanted if f"{folder}{name}" not in names]
    if version not in path.name:
        found.append(f"{path.name} is not of version {version}")
    dust = (name for name in names if {"__pycache__", ".venv", "site", "looks"} & set(name.split("/")[:-1]))
    return found + [f"{path.name} holds {name}" for name in dust]


def main() -> int:
    """Print what is wrong; 1 if anything is."""
    version, *paths = sys.argv[1:]
    found = [line for path in paths for line in wrong(Path(path), version)]
    print("\n".join(found), file=sys.stderr, end="\n" if found else "")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
