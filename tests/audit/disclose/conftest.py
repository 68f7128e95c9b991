"""A stored record, and a quarantined message beside it."""

from __future__ import annotations

import pytest

from tests.kit.entries import (
    NO_QUOTA,
    stored_record,
    stored_rejection,
)
from tests.kit.scratch import Scratch
from vault_etl.records.messages import SealedRecord, SealedRejection


@pytest.fixture(scope="module")
def record(shared: Scratch) -> SealedRecord:
    """A stored record."""
    shared.sql(NO_QUOTA)  # this file reveals more than the default allows
    shared.add_token_keys()
    return stored_record(shared)


@pytest.fixture(scope="module")
def rejection(record: SealedRecord, shared: Scratch) -> SealedRejection:
    """A quarantined message, beside the record."""
    del record
    return stored_rejection(shared)
