"""Entries about one part of a set, and what the record needs to know of a new version."""

from __future__ import annotations

import dataclasses
import uuid
from typing import Final

from vault_etl.archives.manifest import part_number
from vault_etl.archives.sets import CurrentSet
from vault_etl.audit.entries import AuditRequest
from vault_etl.base.errors import UsageError
from vault_etl.lake.postgres import NewManifest

MAX_REASON_CHARACTERS: Final = 370
"""The longest reason of a command on sets: each entry adds the hash of the manifest and the number of the part."""


def must_leave_room(reason: str) -> None:
    """Raise UsageError for a reason that is too long for what each entry adds."""
    if len(reason) > MAX_REASON_CHARACTERS:
        message = f"the reason is longer than {MAX_REASON_CHARACTERS} characters"
        raise UsageError(message, hint="each entry adds the SHA-256 of the manifest to it")


def part_request(
    request: AuditRequest, current: CurrentSet, at: int, amount: int | None = None
) -> AuditRequest:
    """Return the request about the part at the index `at`: its reason names the manifest and the part's number.

    `amount` is the number of rows, for an access.
    """
    number = part_number(current.manifest.parts[at].name)
    return dataclasses.replace(set_request(request, current, f" part {number}"), amount=amount)


def set_request(request: AuditRequest, current: CurrentSet, what: str = "") -> AuditRequest:
    """Return the request about a set, under an id of its own: its reason names the manifest."""
    return dataclasses.replace(
        request,
        request_id=uuid.uuid4(),
        record_id=current.manifest.set_id,
        reason=f"{request.reason} [manifest {current.sha256.hex()}{what}]",
    )


def new_manifest(old: CurrentSet, new: CurrentSet) -> NewManifest:
    """Return what the record needs to know of a version in the place of another."""
    manifest = new.manifest
    return NewManifest(
        manifest.set_id, manifest.event, old.sha256, new.sha256, manifest.version, manifest.contents
    )
