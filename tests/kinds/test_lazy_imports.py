"""Kinds import the package that reads their spellings when they need it."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.command

SCRIPT = """
import sys
from vault_etl.kinds.make import OPTIONS, make_kind
for name in OPTIONS:
    if name != "phone":
        make_kind(name, {}).hint
make_kind("email", {}).accept("bob@example.com")
assert not {"idna", "phonenumbers"} & set(sys.modules)
make_kind("email", {}).accept("bob@b\\u00fccher.example")
assert "idna" in sys.modules
make_kind("phone", {}).accept("+41446681800")
assert "phonenumbers" in sys.modules
"""


def test_a_vault_without_telephone_numbers_does_not_import_their_plans() -> None:
    """That would cost every command a tenth of a second."""
    subprocess.run([sys.executable, "-c", SCRIPT], check=True)
