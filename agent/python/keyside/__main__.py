"""`python -m keyside`: the program that came with the package, for where its folder is not on the PATH."""

from __future__ import annotations

import os
import sys

from . import _binary
from ._errors import AgentNotStarted

if __name__ == "__main__":
    try:
        program = _binary.find()
    except AgentNotStarted as error:
        sys.exit(f"keyside: {error}")
    os.execv(program, ["keyside", *sys.argv[1:]])
