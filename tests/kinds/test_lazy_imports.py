"""Kinds import the package that reads their spellings when they need it."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.command

SCRIPT = """
import sys
from vault_etl.kinds.make import OPTIONS, make_kind
kinds = {name: make_kind(name, {}) for name in OPTIONS}
kinds["email"].accept("bob@example.com")
assert kinds["phone"].canonical("+41446681800")
assert not {"idna", "phonenumbers"} & set(sys.modules)
kinds["email"].accept("bob@b\\u00fccher.example")
assert "idna" in sys.modules
kinds["phone"].accept("+41446681800")
assert "phonenumbers" in sys.modules
"""


def test_the_packages_are_imported_for_a_value_that_needs_them() -> None:
    """That would cost every command a tenth of a second."""
    subprocess.run([sys.executable, "-c", SCRIPT], check=True)
