"""The signature of a manifest: a signed note that is taken for nothing else."""

from __future__ import annotations

import hashlib
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kit.fakes.checkpoints import FakeHeadSigner
from tests.kit.fakes.manifests import MANIFEST
from vault_etl.archives.manifest_note import ManifestNote
from vault_etl.audit.checkpoint import AuditKey, Checkpoint, Head, Registration, Signature
from vault_etl.base.errors import DataError

CONTENT = MANIFEST.encode()
VAULT = MANIFEST.vault_id
SIGNER = FakeHeadSigner()
KEY = SIGNER.signing_key().key


def note_of(content: bytes = CONTENT, vault_id: uuid.UUID = VAULT) -> ManifestNote:
    """The note of a manifest, by this signer."""
    bare = ManifestNote.of(content, vault_id)
    return bare.signed(KEY, SIGNER.sign(bare.text.encode()).der)


WHOLE = note_of().encode()


def test_the_text_is_origin_and_hash() -> None:
    """Two lines."""
    origin, digest, end = ManifestNote.of(CONTENT, VAULT).text.split("\n")
    assert origin == f"vault-etl/archive/{VAULT}"
    assert (len(digest), end) == (44, "")
    assert ManifestNote.of(CONTENT, VAULT).sha256 == hashlib.sha256(CONTENT).digest()


def test_a_signed_note_is_read_as_it_was_and_holds() -> None:
    """For this manifest, this vault and this key."""
    note = ManifestNote.parse(WHOLE)
    assert note.encode() == WHOLE
    note.check(CONTENT, VAULT, KEY)


@pytest.mark.parametrize(
    ("content", "vault_id", "key", "says"),
    [
        (CONTENT + b" ", VAULT, KEY, "belongs to another manifest"),
        (CONTENT, uuid.UUID(int=1), KEY, "belongs to another vault"),
        (CONTENT, VAULT, FakeHeadSigner().signing_key().key, "did not sign"),
    ],
)
def test_a_signature_holds_for_no_other_manifest_vault_or_key(
    content: bytes, vault_id: uuid.UUID, key: AuditKey, says: str
) -> None:
    """The error names each mismatch: manifest, vault or key."""
    with pytest.raises(DataError, match=says):
        note_of().check(content, vault_id, key)


def test_a_signature_of_a_checkpoint_is_not_valid_for_a_manifest() -> None:
    """The reverse holds too, whatever the hash."""
    head = Head(1, note_of().sha256)
    checkpoint = Checkpoint(VAULT, head)
    line = Signature(checkpoint.origin, KEY.hash, SIGNER.sign(checkpoint.text.encode()).der)
    signed = Checkpoint(VAULT, head, (line,))
    with pytest.raises(DataError):
        ManifestNote.parse(signed.note.encode())
    moved = ManifestNote.of(CONTENT, VAULT).signed(KEY, line.signature)
    with pytest.raises(DataError, match="did not sign"):
        moved.check(CONTENT, VAULT, KEY)
    text = note_of().encode().decode()
    for parse in (Checkpoint.parse, Registration.parse):
        with pytest.raises(ValueError, match="not a signed note"):
            parse(text)


@given(st.binary(min_size=1, max_size=200), st.integers(0, 300))
def test_other_bytes_are_refused_or_read_as_they_are(noise: bytes, at: int) -> None:
    """A line may be another signer's, and then proves nothing."""
    content = WHOLE[:at] + noise + WHOLE[at:]
    try:
        note = ManifestNote.parse(content)
    except DataError:
        return
    assert note.encode() == content
    assert (note.vault_id, note.sha256) == (VAULT, note_of().sha256)
