"""The embedded stack: a real PostgreSQL 18 and an AWS emulator, on loopback, no Docker, no root.

`stack.py` is the whole of it; `postgres.py` and `emulator.py` are usable on their own.
Why it is built this way: docs/adr/0002-embedded-stack.md.
"""

from typing import Final

INSTALL_HINT: Final = "in a checkout: make demo, or pip install '.[local]'"
"""Until there is a release in a package index: there is nothing to install by name."""
