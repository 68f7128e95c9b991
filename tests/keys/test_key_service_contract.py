"""Every port of KMS: a key opens under its own context, and under no other."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from tests.kit.fakes.key_service import FakeKms, arn_of
from vault_etl.base.errors import (
    DeniedError,
    KeyDeniedError,
    UnavailableError,
    UnusableKeyError,
)
from vault_etl.crypto.fields import PERSONAL_FIELDS, Field, FileField, KeyPurpose
from vault_etl.crypto.keys import KEY_BYTES, WrappedKey, fingerprint
from vault_etl.keys.kms import (
    KmsKeyFinder,
    KmsKeyGenerator,
    KmsKeyRewrapper,
    KmsKeyUnwrapper,
    KmsUnseenKeyGenerator,
    TrustedKeys,
)
from vault_etl.keys.make import (
    KeyGenerator,
    NewKey,
    UnseenKeyGenerator,
    make_data_key,
    make_unseen_key,
)
from vault_etl.keys.rewrap import KeyRewrapper
from vault_etl.keys.unwrap import KeyUnwrapper, KmsKeys, prove_kms
from vault_etl.local.provision import Credentials, EmulatorSession, Provisioned

ALIASES = {
    KeyPurpose.DATA: "alias/vault-etl-data",
    KeyPurpose.TOKEN: "alias/vault-etl-token",
    KeyPurpose.SOURCE: "alias/vault-etl-token",
}

OTHER = "arn:aws:kms:eu-west-1:000000000000:key/other"
"""Of the fake."""


@dataclasses.dataclass(frozen=True)
class Bench:
    """A KMS as seen by who may do all, by who may not unwrap or rewrap, and by who cannot reach it.

    `other` is a KMS key that `rewrapper` and `unwrapper` trust, and `rewrapper` may rewrap onto.
    """

    generator: KeyGenerator
    unseen: UnseenKeyGenerator
    unwrapper: KeyUnwrapper
    denied: KeyUnwrapper
    cut_off: KeyUnwrapper
    rewrapper: KeyRewrapper
    denied_rewrapper: KeyRewrapper
    cut_off_rewrapper: KeyRewrapper
    kms_keys: KmsKeys
    other: str


Kms = Callable[[str], Any]

NOT_THE_CALLERS = (UnusableKeyError, KeyDeniedError)
"""The key is at fault. moto says that it denies bytes which name another KMS key, as if it was the caller."""


@pytest.fixture(scope="module")
def kms(moto: tuple[str, Provisioned]) -> Kms:
    """KMS clients of the emulator by role."""
    endpoint, provisioned = moto
    clients: dict[str, Any] = {}

    def client(role: str) -> Any:  # noqa: ANN401 - a client of boto3
        if role not in clients:
            session = EmulatorSession(endpoint, provisioned.credentials[role])
            clients[role] = session.client("kms")
        return clients[role]

    return client


def unwrapper(client: Any, listed: frozenset[str] = frozenset()) -> KmsKeyUnwrapper:  # noqa: ANN401 - of boto3
    """The real adapter."""
    return KmsKeyUnwrapper(client, TrustedKeys(client, ALIASES, listed))


def rewrapper(client: Any, listed: frozenset[str] = frozenset()) -> KmsKeyRewrapper:  # noqa: ANN401 - of boto3
    """The real adapter."""
    return KmsKeyRewrapper(client, TrustedKeys(client, ALIASES, listed))


def arns(moto: tuple[str, Provisioned]) -> Mapping[str, str]:
    """The KMS keys by purpose."""
    return moto[1].key_arns


@pytest.fixture(params=["fake", pytest.param("kms", marks=pytest.mark.emulator)])
def bench(request: pytest.FixtureRequest) -> Bench:
    """A KMS with its keys."""
    if request.param == "fake":
        whole = FakeKms()
        whole.make_kms_key(OTHER)
        whole.aliases = {ALIASES[purpose]: arn_of(purpose.kms_key) for purpose in ALIASES}
        whole.trusted[KeyPurpose.DATA].add(OTHER)
        denied, cut_off = copy.copy(whole), copy.copy(whole)
        denied.denied, cut_off.down = set(Field), True
        denied.denied_rewraps = set(Field)
        return Bench(whole, whole, whole, denied, cut_off, whole, denied, cut_off, whole, OTHER)
    kms: Kms = request.getfixturevalue("kms")
    moto = request.getfixturevalue("moto")
    nobody = EmulatorSession("http://127.0.0.1:1", Credentials("AKIAEXAMPLE", "secret"))
    other: str = kms("admin").create_key()["KeyMetadata"]["Arn"]
    listed = frozenset({*arns(moto).values(), other})
    return Bench(
        KmsKeyGenerator(kms("re-encrypt"), ALIASES),
        KmsUnseenKeyGenerator(kms("re-encrypt"), ALIASES),
        unwrapper(kms("admin"), listed),
        unwrapper(kms("rotate"), listed),
        unwrapper(nobody.client("kms"), listed),
        rewrapper(kms("admin"), listed),
        rewrapper(kms("reveal"), listed),
        rewrapper(nobody.client("kms"), listed),
        KmsKeyFinder(kms("rotate"), TrustedKeys(kms("rotate"), ALIASES, listed)),
        other,
    )


def new_key(bench: Bench, field: Field = Field.IP, purpose: KeyPurpose = KeyPurpose.DATA) -> NewKey:
    """A key that this KMS wrapped."""
    if purpose is not KeyPurpose.DATA:
        of = FileField.SOURCE if purpose is KeyPurpose.SOURCE else field
        return make_unseen_key(bench.unseen, bench.unwrapper, purpose, of)
    return make_data_key(bench.generator, field)[0]


@pytest.mark.parametrize("field", Field)
def test_a_key_opens_to_what_was_generated(bench: Bench, field: Field) -> None:
    """32 bytes, wrapped under the KMS key of the purpose, whose ARN is told."""
    made = bench.generator.generate(KeyPurpose.DATA, field, 7)
    key = WrappedKey(
        key_id=7,
        purpose=KeyPurpose.DATA,
        field=field,
        generation=None,
        kms_key_arn=made.kms_key_arn,
        wrapped_key=made.wrapped_key,
        fingerprint=fingerprint(made.material, 7),
    )
    assert made.kms_key_arn.startswith("arn:aws:kms:")
    assert made.material.expose() not in made.wrapped_key
    assert bench.unwrapper.unwrap(key).expose() == made.material.expose()


@pytest.mark.parametrize("field", PERSONAL_FIELDS)
def test_a_key_that_nobody_saw_opens_under_its_own_context(bench: Bench, field: Field) -> None:
    """32 bytes, wrapped under the KMS key of the purpose; the row has the fingerprint of the key."""
    key = new_key(bench, field, KeyPurpose.TOKEN)
    material = bench.unwrapper.unwrap(key)
    assert fingerprint(material, key.key_id) == key.fingerprint
    assert key.kms_key_arn.startswith("arn:aws:kms:")
    assert material.expose() not in (key.wrapped_key or b"")
    with pytest.raises(NOT_THE_CALLERS):
        bench.unwrapper.unwrap(dataclasses.replace(key, key_id=key.key_id - 1))


def test_every_key_is_another_one(bench: Bench) -> None:
    """Also for the same purpose, field and id."""
    made = [bench.generator.generate(KeyPurpose.DATA, Field.IP, 7) for _ in range(5)]
    assert len({key.material.expose() for key in made}) == 5
    assert len({key.wrapped_key for key in made}) == 5


CHANGES: dict[str, dict[str, Any]] = {
    "another field": {"field": Field.DEVICE_ID},
    "another purpose": {"purpose": KeyPurpose.TOKEN},
    "another id": {"key_id": 4711},
    "destroyed": {"wrapped_key": None},
    "damaged": {"wrapped_key": b"damaged" * 20},
    "an ARN that nobody trusts": {"kms_key_arn": "arn:aws:kms:us-east-1:123456789012:key/other"},
}


@pytest.mark.parametrize("changes", CHANGES.values(), ids=CHANGES.keys())
def test_a_key_does_not_open_as_anything_else(bench: Bench, changes: dict[str, Any]) -> None:
    """The row's own columns are the context: a forged row opens nothing."""
    key = new_key(bench)
    with pytest.raises(NOT_THE_CALLERS):
        bench.unwrapper.unwrap(dataclasses.replace(key, **changes))
    assert len(bench.unwrapper.unwrap(key).expose()) == KEY_BYTES


def test_a_key_wrapped_for_the_other_purpose_does_not_open(bench: Bench) -> None:
    """Each purpose has its own KMS key, and a row may not name the other's."""
    data, token = new_key(bench), new_key(bench, purpose=KeyPurpose.TOKEN)
    assert data.kms_key_arn != token.kms_key_arn
    with pytest.raises(NOT_THE_CALLERS):
        bench.unwrapper.unwrap(dataclasses.replace(data, kms_key_arn=token.kms_key_arn))
    with pytest.raises(NOT_THE_CALLERS):
        bench.unwrapper.unwrap(dataclasses.replace(data, wrapped_key=token.wrapped_key))


@pytest.mark.iam
def test_who_may_not_unwrap_is_told_so(bench: Bench) -> None:
    """As a key that cannot be had, which is what it is to the caller; another one may."""
    key = new_key(bench)
    with pytest.raises(KeyDeniedError):
        bench.denied.unwrap(key)


def test_a_kms_out_of_reach_is_unavailable(bench: Bench) -> None:
    """Which is no refusal: it may be tried again."""
    with pytest.raises(UnavailableError):
        bench.cut_off.unwrap(new_key(bench))


@pytest.mark.parametrize("field", Field)
def test_a_kms_proves_itself(bench: Bench, field: Field) -> None:
    """The KMS under test binds keys to their encryption context."""
    key = new_key(bench, field)
    material = prove_kms(key, bench.unwrapper)
    assert fingerprint(material, key.key_id) == key.fingerprint


def test_a_listed_arn_is_trusted_and_no_other(kms: Kms, moto: tuple[str, Provisioned]) -> None:
    """Of the real adapter: the explicit list takes the place of what the aliases point at."""
    key, _ = make_data_key(KmsKeyGenerator(kms("re-encrypt"), ALIASES), Field.IP)
    assert key.kms_key_arn == arns(moto)["data"]
    listed = unwrapper(kms("re-encrypt"), frozenset({arns(moto)["data"]}))
    assert len(listed.unwrap(key).expose()) == KEY_BYTES
    elsewhere = unwrapper(kms("re-encrypt"), frozenset({arns(moto)["token"]}))
    with pytest.raises(UnusableKeyError, match="not trusted"):
        elsewhere.unwrap(key)


@pytest.mark.iam
def test_who_may_not_make_keys_is_told_so(kms: Kms) -> None:
    """Of the real adapter: the role reveal has no GenerateDataKey."""
    with pytest.raises(DeniedError):
        KmsKeyGenerator(kms("reveal"), ALIASES).generate(KeyPurpose.DATA, Field.IP, 7)
    with pytest.raises(DeniedError):
        KmsUnseenKeyGenerator(kms("rotate"), ALIASES).generate_unseen(KeyPurpose.TOKEN, Field.IP, 7)


# --- Rewrapping ---


@pytest.mark.parametrize("purpose", KeyPurpose)
def test_a_rewrapped_key_is_the_same_key(bench: Bench, purpose: KeyPurpose) -> None:
    """Other bytes, which open to it under the same context; the old ones still do too."""
    key = new_key(bench, purpose=purpose)
    again = dataclasses.replace(key, wrapped_key=bench.rewrapper.rewrap(key, key.kms_key_arn))
    assert again.wrapped_key != key.wrapped_key
    opened = [bench.unwrapper.unwrap(each) for each in (key, again)]
    assert {fingerprint(material, key.key_id) for material in opened} == {key.fingerprint}


@pytest.mark.parametrize("changes", CHANGES.values(), ids=CHANGES.keys())
def test_a_key_is_not_rewrapped_as_anything_else(bench: Bench, changes: dict[str, Any]) -> None:
    """The row's own columns are both contexts: a forged row gets no new bytes."""
    key = dataclasses.replace(new_key(bench), **changes)
    with pytest.raises(NOT_THE_CALLERS):
        bench.rewrapper.rewrap(key, key.kms_key_arn)


def test_a_rewrapped_key_opens_under_its_own_context_alone(bench: Bench) -> None:
    """To wrap anew unbinds nothing."""
    key = new_key(bench)
    again = dataclasses.replace(key, wrapped_key=bench.rewrapper.rewrap(key, key.kms_key_arn))
    assert fingerprint(prove_kms(again, bench.unwrapper), key.key_id) == key.fingerprint


def test_bytes_that_another_kms_key_made_are_not_rewrapped(bench: Bench) -> None:
    """The row names the KMS key that it is under: KMS must not find another one by itself."""
    data, token = new_key(bench), new_key(bench, purpose=KeyPurpose.TOKEN)
    forged = dataclasses.replace(data, wrapped_key=token.wrapped_key)
    with pytest.raises(NOT_THE_CALLERS):
        bench.rewrapper.rewrap(forged, data.kms_key_arn)


def test_a_key_moves_to_another_kms_key_that_is_trusted(bench: Bench) -> None:
    """A moved key opens under the ARN of the new KMS key, not of the old one."""
    key = new_key(bench)
    moved = dataclasses.replace(key, wrapped_key=bench.rewrapper.rewrap(key, bench.other))
    there = dataclasses.replace(moved, kms_key_arn=bench.other)
    assert fingerprint(bench.unwrapper.unwrap(there), key.key_id) == key.fingerprint
    with pytest.raises(NOT_THE_CALLERS):
        bench.unwrapper.unwrap(moved)
    with pytest.raises(NOT_THE_CALLERS):
        bench.rewrapper.rewrap(moved, bench.other)


def test_a_key_does_not_move_where_nobody_trusts_it(bench: Bench) -> None:
    """Every reader would refuse a key under a KMS key that is not trusted."""
    key = new_key(bench)
    with pytest.raises(NOT_THE_CALLERS):
        bench.rewrapper.rewrap(key, "arn:aws:kms:us-east-1:123456789012:key/other")


@pytest.mark.iam
def test_who_may_not_rewrap_is_told_so(bench: Bench) -> None:
    """As denied to this caller, which says nothing about the key."""
    key = new_key(bench)
    with pytest.raises(KeyDeniedError):
        bench.denied_rewrapper.rewrap(key, key.kms_key_arn)


def test_rewrapping_out_of_reach_is_unavailable(bench: Bench) -> None:
    """Which is no refusal: it may be tried again."""
    key = new_key(bench)
    with pytest.raises(UnavailableError):
        bench.cut_off_rewrapper.rewrap(key, key.kms_key_arn)


def test_a_kms_key_is_looked_up_by_each_of_its_names(bench: Bench) -> None:
    """Alias and ARN; one that is not there is a refusal. What is trusted is told by ARN."""
    arn = new_key(bench).kms_key_arn
    assert bench.kms_keys.arn(ALIASES[KeyPurpose.DATA]) == bench.kms_keys.arn(arn) == arn
    with pytest.raises(DeniedError):
        bench.kms_keys.arn("alias/nobody")
    assert bench.kms_keys.trusts(KeyPurpose.DATA, bench.other)
    assert not bench.kms_keys.trusts(KeyPurpose.DATA, "arn:aws:kms:us-east-1:123456789012:key/x")


def test_neither_kms_key_is_used_for_rewrapping_unless_listed(
    kms: Kms, moto: tuple[str, Provisioned]
) -> None:
    """Of the real adapter: the allow-list comes before the call, for where a key is and where it goes."""
    key, _ = make_data_key(KmsKeyGenerator(kms("re-encrypt"), ALIASES), Field.IP)
    data, token = arns(moto)["data"], arns(moto)["token"]
    for listed, target in (({token}, data), ({data}, token), ({token}, token)):
        with pytest.raises(UnusableKeyError, match="not trusted"):
            rewrapper(kms("admin"), frozenset(listed)).rewrap(key, target)
