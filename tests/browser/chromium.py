"""Debian's Chromium, as the tests start it."""

import os
import shutil
from pathlib import Path

ARGUMENTS = [
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    *(["--no-sandbox"] if os.geteuid() == 0 else []),
]


def found() -> Path | None:
    """Where Chromium is, if it is."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    return Path(path) if path else None
