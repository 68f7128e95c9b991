"""Sets: open, rotate and erase. Import it in the block of `at_place`, which says so if pyarrow is not installed."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from vault_etl.app.audit import Keep, audit_log, head_signer, keep_checkpoint
from vault_etl.app.in_force import must_be_in_force
from vault_etl.app.key_ring import key_store, ring
from vault_etl.app.keys import leases
from vault_etl.app.lake_places import sets
from vault_etl.app.partitions import TOOL, Place
from vault_etl.app.parts import Parts
from vault_etl.archives.declared_event import event_of
from vault_etl.archives.sets import CurrentSet
from vault_etl.audit.checkpoint import Checkpoint, Head
from vault_etl.audit.signing import sign_and_keep
from vault_etl.crypto.fields import FieldName
from vault_etl.declaration.model import DeclaredEvent
from vault_etl.keys.ring import ExplainedKeys
from vault_etl.lake.erase import EraseFromSet, Erasures
from vault_etl.lake.open import OpenSet
from vault_etl.lake.parquet_changes import (
    PartOpener,
    PartReader,
    PartRotator,
    RotationNeed,
    erased_part,
    rows_to_erase,
)
from vault_etl.lake.postgres import RecordedSet
from vault_etl.lake.rewrite import SetRewriter
from vault_etl.lake.rotate import NeededKeys, RotateSet
from vault_etl.platform.clock import Progress


def open_set(
    parts: Parts,
    place: Place,
    current: CurrentSet,
    fields: Sequence[FieldName],
    request_id: uuid.UUID,
    progress: Progress,
    keep: Keep | None = None,
) -> OpenSet:
    """Build `lake open`. The keys are those of the set: the database may be of another vault."""
    event = event_of(current.manifest, parts.declaration)
    read = PartReader.of(current)
    keys = ring(parts, request_id, reader=place.reader.keys(current))

    return OpenSet(
        audit=audit_log(parts, request_id, keep),
        store=place.reader,
        check=read.check,
        batches=PartOpener(read, event, fields, keys),
        progress=progress,
    )


def needed_keys(parts: Parts, event: DeclaredEvent) -> NeededKeys:
    """The keys of the vault that a set of this event needs, as the database has them now."""
    return NeededKeys(ExplainedKeys(key_store(parts), key_store(parts)), event.fields)


def rotate_set(
    parts: Parts, place: Place, current: CurrentSet, request_id: uuid.UUID, progress: Progress
) -> RotateSet:
    """Build `lake rotate`."""
    must_be_in_force(parts)
    event = event_of(current.manifest, parts.declaration)
    keys = needed_keys(parts, event)
    contents = current.manifest.contents
    # One query: the database is not asked again for each key of each batch.
    held = ring(parts, request_id, reader=keys(contents))
    tokenizer, _ = ring(parts, request_id, reader=keys.reader).tokenizers()
    read = PartReader.of(current)

    log = audit_log(parts, request_id)
    return RotateSet(
        audit=log,
        sign=log.sign,
        record=sets(parts),
        rewriter=_rewriter(parts, place),
        keys=keys,
        needs=RotationNeed(read, keys.active(contents), tokenizer.generation),
        change=PartRotator(read, event, held, leases(parts), tokenizer),
        progress=progress,
    )


def erase_from_set(
    parts: Parts, place: Place, current: CurrentSet, progress: Progress
) -> EraseFromSet:
    """Build `lake erase` for one set."""
    event = event_of(current.manifest, parts.declaration)
    read = PartReader.of(current)
    return EraseFromSet(
        record=sets(parts),
        rewriter=_rewriter(parts, place),
        count=lambda what, path: rows_to_erase(read, event, what.subjects, what.record_ids, path),
        erase=lambda what, old, new: erased_part(
            read, event, what.subjects, what.record_ids, old, new
        ),
        progress=progress,
    )


def erasures_of(parts: Parts, recorded: RecordedSet, user_id: str | None) -> Erasures:
    """Return the erasures that wait for a set, or the one of this user, whether it waits or not."""
    pending = sets(parts).pending(recorded)
    if user_id is not None:
        own = tuple(each.erasure_id for each in pending if each.user_id == user_id)
        return Erasures(frozenset({user_id}), frozenset(), own)
    return Erasures(
        frozenset(each.user_id for each in pending if each.user_id is not None),
        frozenset(each.record_id for each in pending if each.record_id is not None),
        tuple(each.erasure_id for each in pending),
    )


def sign_head(parts: Parts, head: Head) -> Checkpoint | None:
    """Sign the head of the log after the last entry of an erasure; None if no key is registered."""
    return sign_and_keep(head, parts.checkpoints, head_signer(parts), keep_checkpoint)


def _rewriter(parts: Parts, place: Place) -> SetRewriter:
    return SetRewriter(
        reader=place.reader,
        writer=place.writer,
        folder=place.folder,
        now=parts.clock.now,
        tool=TOOL,
    )
