"""Token format 1: a keyed, deterministic blind index of a personal value, 128 bits long.

    K     = HMAC-SHA-256(token key, "vault-etl/1/token" ‖ lp(field))
    token = HMAC-SHA-256(K, canonical form)[:16]

A placeholder is a value that programs write when they know no address or device. It is not personal, so
its token is public: made without a key, and the same in every generation. An analyst, who has no key,
can leave out the records that hold one. The set of placeholders is a part of the format.

    public token = SHA-256("vault-etl/1/placeholder" ‖ lp(field) ‖ canonical form, ASCII letters lower-case)[:16]

A kind may have derived forms, such as the network of an address. Their tokens are made under a key of their
own, and never public. No name of a field has a slash.

    K     = HMAC-SHA-256(token key, "vault-etl/1/token" ‖ lp(field "/" derived form))
    token = HMAC-SHA-256(K, canonical derived form)[:16]

Among 10^9 distinct values the chance of one collision is about 1.5e-21 (n^2 / 2^129).
"""

from __future__ import annotations

import functools
import uuid
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Final, Protocol

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC

from vault_etl.base.pii import Pii
from vault_etl.crypto.digest import hmac_sha256, lp, sha256
from vault_etl.crypto.fields import FieldName
from vault_etl.crypto.keys import TokenKey
from vault_etl.crypto.uuids import uuid_of

TOKEN_BYTES: Final = 16

_LABEL: Final = b"vault-etl/1/token"
_PLACEHOLDER_LABEL: Final = b"vault-etl/1/placeholder"


class TokenKind(Hashable, Protocol):
    """The part of a kind that its tokens follow from. Equal kinds make equal tokens."""

    @property
    def canonical(self) -> Callable[[str], bytes]:
        """The function that makes the canonical form of a value, or raises ValueError."""

    @property
    def placeholders(self) -> tuple[str, ...]:
        """The placeholders, in lower case."""

    @property
    def derived(self) -> Sequence[DerivedTokenKind]:
        """The derived forms that have tokens of their own."""


class DerivedTokenKind(Protocol):
    """The part of a derived form that its tokens follow from."""

    @property
    def name(self) -> str:
        """The name, which its key depends on."""

    @property
    def canonical(self) -> Callable[[str], bytes]:
        """The function that makes the derived form of a value, or raises ValueError."""


def placeholder_token(field: str, kind: TokenKind, form: bytes) -> uuid.UUID | None:
    """Return the public token if the canonical form is a placeholder, in upper or lower case; else None."""
    return _public_tokens(field, kind).get(form.lower())


def placeholders(field: str, kind: TokenKind) -> Mapping[uuid.UUID, str]:
    """Return every placeholder of the field by its token."""
    tokens = _public_tokens(field, kind)
    return {tokens[kind.canonical(text)]: text for text in kind.placeholders}


@functools.cache
def _public_tokens(field: str, kind: TokenKind) -> Mapping[bytes, uuid.UUID]:
    """Return the public tokens by canonical form. Every batch makes its tokenizers: this is made once."""
    forms = map(kind.canonical, kind.placeholders)
    return {
        form: uuid.UUID(bytes=sha256(_PLACEHOLDER_LABEL, lp(field), form)[:TOKEN_BYTES])
        for form in forms
    }


class FieldTokenizer:
    """Makes the tokens of one field in one generation."""

    def __init__(self, key: TokenKey, kind: TokenKind) -> None:
        self.generation = key.generation
        self._field = key.field
        self._canonical = kind.canonical
        self._public = _public_tokens(key.field, kind)
        self._mac = _mac(key, key.field)
        self._derived = {form.name: DerivedTokenizer(key, form) for form in kind.derived}

    def token(self, value: Pii, derived: str | None = None) -> uuid.UUID:
        """Return the token of `value`, or of a derived form of it.

        Raises ValueError, without the value, if the field cannot hold it.
        """
        if derived is not None:
            return self._derived[derived].token(value)
        return self.token_of_form(self.form(value))

    def form(self, value: Pii) -> Pii:
        """Return the canonical form of `value`, the same in each generation. Raises ValueError as `token` does."""
        return Pii(_form(self._canonical, self._field, value))

    def token_of_form(self, form: Pii) -> uuid.UUID:
        """Return the token of the value that has this canonical form."""
        return uuid_of(int.from_bytes(self.bytes_of_form(form), "big"))

    def bytes_of_form(self, form: Pii) -> bytes:
        """Return the 16 bytes of that token, for columns, which have no use for a UUID."""
        exposed = form.expose()
        public = self._public.get(exposed.lower())
        return _keyed(self._mac, exposed) if public is None else public.bytes


class DerivedTokenizer:
    """Makes the tokens of one derived form of a field, in one generation."""

    def __init__(self, key: TokenKey, derived: DerivedTokenKind) -> None:
        self.generation = key.generation
        self._name = f"{key.field}/{derived.name}"
        self._canonical = derived.canonical
        self._mac = _mac(key, self._name)

    def token(self, value: Pii) -> uuid.UUID:
        """Return the token of the derived form of `value`. Raises ValueError, without the value, as above."""
        mac = _keyed(self._mac, _form(self._canonical, self._name, value))
        return uuid_of(int.from_bytes(mac, "big"))


def _form(canonical: Callable[[str], bytes], name: str, value: Pii) -> bytes:
    try:
        return canonical(value.expose().decode())
    except ValueError:
        message = f"not a canonical {name}"
        raise ValueError(message) from None


def _mac(key: TokenKey, name: str) -> HMAC:
    return HMAC(hmac_sha256(key.material.expose(), _LABEL, lp(name)), SHA256())


def _keyed(keyed: HMAC, form: bytes) -> bytes:
    mac = keyed.copy()
    mac.update(form)
    return mac.finalize()[:TOKEN_BYTES]


class Tokenizer:
    """Makes the tokens of one generation.

    Raises ValueError unless the keys are one for each field that has a kind, all of one generation.
    """

    def __init__(self, keys: Iterable[TokenKey], kinds: Mapping[FieldName, TokenKind]) -> None:
        by_field = {key.field: key for key in keys}
        generations = {key.generation for key in by_field.values()}
        if by_field.keys() != kinds.keys() or len(generations) != 1:
            message = "a tokenizer takes one key for each personal field, all of one generation"
            raise ValueError(message)
        (self.generation,) = generations
        self._fields = {field: FieldTokenizer(key, kinds[field]) for field, key in by_field.items()}

    def token(self, field: FieldName, value: Pii, derived: str | None = None) -> uuid.UUID:
        """Return the token of `value`, or of a derived form.

        Raises ValueError if the field has no key in this generation, or cannot hold the value.
        """
        return self.field(field).token(value, derived)

    def field(self, field: FieldName) -> FieldTokenizer:
        """Return the tokenizer of one field. Raises ValueError if the field has no key in this generation."""
        if field not in self._fields:
            message = f"no token key of {field} in generation {self.generation}"
            raise ValueError(message)
        return self._fields[field]
