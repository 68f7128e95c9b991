"""A fake KMS and the emulator's, each with its keys."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tests.keys.key_service.bench import (
    ALIASES,
    OTHER,
    Bench,
    Kms,
    arns,
    rewrapper,
    unwrapper,
)
from tests.kit.declared import FIELDS
from tests.kit.fakes.key_service import FakeKms, arn_of
from vault_etl.crypto.fields import KeyPurpose
from vault_etl.keys.kms import (
    KmsKeyFinder,
    KmsKeyGenerator,
    KmsUnseenKeyGenerator,
    TrustedKeys,
)
from vault_etl.local.provision import Credentials, EmulatorSession, Provisioned


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


@pytest.fixture(params=["fake", pytest.param("kms", marks=pytest.mark.emulator)])
def bench(request: pytest.FixtureRequest) -> Bench:
    """A KMS with its keys."""
    if request.param == "fake":
        whole = FakeKms()
        whole.make_kms_key(OTHER)
        whole.aliases = {ALIASES[purpose]: arn_of(purpose.kms_key) for purpose in ALIASES}
        whole.trusted[KeyPurpose.DATA].add(OTHER)
        denied, cut_off = copy.copy(whole), copy.copy(whole)
        denied.denied, cut_off.down = set(FIELDS), True
        denied.denied_rewraps = set(FIELDS)
        return Bench(whole, whole, whole, denied, cut_off, whole, denied, cut_off, whole, OTHER)
    kms: Kms = request.getfixturevalue("kms")
    moto = request.getfixturevalue("moto")
    unreachable = EmulatorSession("http://127.0.0.1:1", Credentials("AKIAEXAMPLE", "secret"))
    other: str = kms("admin").create_key()["KeyMetadata"]["Arn"]
    listed = frozenset({*arns(moto).values(), other})
    return Bench(
        KmsKeyGenerator(kms("re-encrypt"), ALIASES),
        KmsUnseenKeyGenerator(kms("re-encrypt"), ALIASES),
        unwrapper(kms("admin"), listed),
        unwrapper(kms("rotate"), listed),
        unwrapper(unreachable.client("kms"), listed),
        rewrapper(kms("admin"), listed),
        rewrapper(kms("reveal"), listed),
        rewrapper(unreachable.client("kms"), listed),
        KmsKeyFinder(kms("rotate"), TrustedKeys(kms("rotate"), ALIASES, listed)),
        other,
    )
