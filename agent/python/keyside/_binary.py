"""Where the `keyside` program is that came with this package."""

from __future__ import annotations

import os
import shutil
from importlib import metadata
from pathlib import Path

from ._errors import AgentNotStarted

PROGRAM = "keyside"


def find() -> Path:
    """The program of the wheel that this package came in, else the one on the PATH.

    The wheel's own list of files is asked, since a virtual environment need not be active, and a `--user` or `--target`
    installation puts scripts elsewhere.

    Raises:
        AgentNotStarted: When there is none.
    """
    found = _of_the_wheel() or shutil.which(PROGRAM)
    if found is None:
        raise AgentNotStarted(
            f"there is no program '{PROGRAM}' on the PATH: install the wheel, which has it, or the program"
        )
    return Path(found)


def _of_the_wheel() -> str | None:
    try:
        files = metadata.files("keyside") or []
    except metadata.PackageNotFoundError:
        return None
    for file in files:
        if file.name == PROGRAM and file.parent.name == "bin":
            path = os.path.abspath(str(file.locate()))
            if os.access(path, os.X_OK):
                return path
    return None
