"""Checkpoints as C2SP signed notes: one spelling, and a signature of this key."""

from __future__ import annotations

import base64
import hashlib
import uuid

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from tests.kit.fakes.checkpoints import FakeHeadSigner
from vault_etl.audit.checkpoint import MAX_NOTE_BYTES, AuditKey, Checkpoint, Head, Signature

VAULT = uuid.UUID("3f1c2a5e-8f0b-4f57-9a44-0d5f2c6f1b7e")
HEAD = Head(4711, bytes(range(32)))


def signed(signer: FakeHeadSigner, head: Head = HEAD) -> Checkpoint:
    """A checkpoint by this signer."""
    bare = Checkpoint(VAULT, head)
    signature = signer.sign(bare.text.encode()).der
    return Checkpoint(
        VAULT, head, (Signature(bare.origin, signer.signing_key().key.hash, signature),)
    )


def test_the_text_is_origin_seq_and_hash() -> None:
    """Three lines, each ended by U+000A, and nothing else is signed."""
    encoded = base64.b64encode(HEAD.hash).decode()
    assert Checkpoint(VAULT, HEAD).text == f"vault-etl/audit/{VAULT}\n4711\n{encoded}\n"


def test_the_signature_line_names_the_key_by_its_hash() -> None:
    """Em dash, origin, base64 of SHA-256(SPKI)[:4] and the DER signature."""
    signer = FakeHeadSigner()
    *_, line = signed(signer).note.splitlines()
    dash, origin, encoded = line.split(" ")
    assert (dash, origin) == ("\u2014", f"vault-etl/audit/{VAULT}")
    spki = signer.signing_key().key.spki
    assert base64.b64decode(encoded)[:4] == hashlib.sha256(spki).digest()[:4]
    assert base64.b64decode(encoded)[4] == 0x30  # a DER sequence


@given(st.integers(0, 2**63 - 1), st.binary(min_size=32, max_size=32))
def test_a_written_note_is_read_back(seq: int, hash_: bytes) -> None:
    """Parsing gives back what was serialised, and KMS takes the text as it is."""
    line = Signature("name", b"1234", b"signature")
    checkpoint = Checkpoint(VAULT, Head(seq, hash_), (line, line))
    assert Checkpoint.parse(checkpoint.note) == checkpoint
    assert len(checkpoint.text.encode()) < MAX_NOTE_BYTES


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("vault-etl/audit/", "vault-etl/other/"),
        ("vault-etl/audit/3f", "vault-etl/audit/3F"),
        ("\n4711\n", "\n04711\n"),
        ("\n4711\n", "\n-4711\n"),
        ("\n4711\n", "\n+4711\n"),
        ("\n4711\n", "\n\u0664\u0667\u0661\u0661\n"),
        ("\n4711\n", "\n4711 \n"),
        ("\n4711\n", "\n4711\n\n"),
        ("AAECAwQ", "AAECAw"),
        ("Hh8=", "Hh9="),
        ("Hh8=", "Hh8"),
        ("\n\n", "\n"),
        ("\n\n", "\n\n\n"),
        ("\u2014 ", "- "),
        ("\u2014 ", "\u2014  "),
        ("\n", "\r\n"),
    ],
)
def test_a_note_in_another_spelling_is_refused(old: str, new: str) -> None:
    """A note that differs by a character was not signed."""
    note = signed(FakeHeadSigner()).note
    assert old in note
    with pytest.raises(ValueError, match="not a signed note"):
        Checkpoint.parse(note.replace(old, new))


@pytest.mark.parametrize("note", ["", "\n", "x", "\n\n", "\u2014", "a" * 5000])
def test_text_that_is_no_note_is_refused(note: str) -> None:
    """The text is refused without a bug."""
    with pytest.raises(ValueError, match="not a signed note"):
        Checkpoint.parse(note)


def test_a_note_cut_anywhere_is_refused() -> None:
    """The note is cut at every character before its end."""
    note = signed(FakeHeadSigner()).note
    for end in range(len(note)):
        with pytest.raises(ValueError, match="not a signed note"):
            Checkpoint.parse(note[:end])


def test_only_the_right_key_has_signed() -> None:
    """Another key has not signed, nor has this key signed another head."""
    one, other = FakeHeadSigner(), FakeHeadSigner()
    checkpoint = signed(one)
    assert one.signing_key().key.signed(checkpoint)
    assert not other.signing_key().key.signed(checkpoint)
    for head in (Head(4712, HEAD.hash), Head(4711, bytes(32))):
        moved = Checkpoint(VAULT, head, checkpoint.signatures)
        assert not one.signing_key().key.signed(moved)
    elsewhere = Checkpoint(uuid.uuid4(), HEAD, checkpoint.signatures)
    assert not one.signing_key().key.signed(elsewhere)


def test_a_single_good_signature_of_several_is_enough() -> None:
    """While a key is replaced, both keys may sign."""
    one, other = FakeHeadSigner(), FakeHeadSigner()
    both = Checkpoint(VAULT, HEAD, (*signed(one).signatures, *signed(other).signatures))
    assert one.signing_key().key.signed(both)
    assert other.signing_key().key.signed(both)


def test_a_key_is_read_from_der_and_pem() -> None:
    """KMS gives DER, and openssl gives PEM."""
    public = ec.generate_private_key(ec.SECP256R1()).public_key()
    der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    assert AuditKey(der).spki == AuditKey(b"\n" + pem).spki == der
    assert AuditKey(der).hash == hashlib.sha256(der).digest()[:4]


@pytest.mark.parametrize("kind", ["rsa", "p384", "noise", "empty", "pem noise"])
def test_another_kind_of_key_is_refused(kind: str) -> None:
    """Only keys on P-256 are read."""
    spki = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    encoded = {
        "rsa": rsa.generate_private_key(65537, 2048).public_key().public_bytes(*spki),
        "p384": ec.generate_private_key(ec.SECP384R1()).public_key().public_bytes(*spki),
        "noise": bytes(91),
        "empty": b"",
        "pem noise": b"-----BEGIN PUBLIC KEY-----\n",
    }[kind]
    with pytest.raises(ValueError, match="P-256"):
        AuditKey(encoded)
