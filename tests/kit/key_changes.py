"""Changes of keys between the start of a batch and its commit, each of which the fence must notice."""

from __future__ import annotations

import dataclasses
import datetime as dt

from tests.kit.declared import IP
from tests.kit.fakes.vault import rotate_request
from tests.kit.new_keys import token_keys
from tests.kit.rows import Writer
from vault_etl.crypto.fields import KeyPurpose
from vault_etl.crypto.keys import DataKey, KeyMaterial
from vault_etl.records.fenced_writes import WriteKeys


def retired(process: Writer) -> WriteKeys:
    """A data key that an operator retired."""
    process.bench.keys.retire_data_keys(rotate_request(), [IP])
    return process.write_keys()


def expired(process: Writer) -> WriteKeys:
    """A data key whose lease is over."""
    key = process.bench.data_key(IP, lease=dt.timedelta(seconds=-1))
    return process.write_keys(keys=(*process.keys[1:], key))


def unknown(process: Writer) -> WriteKeys:
    """A data key that is not stored."""
    key = DataKey(1, IP, KeyMaterial(bytes(32)))
    return process.write_keys(keys=(*process.keys, key))


def mixed_up(process: Writer) -> WriteKeys:
    """A data key with other bytes than the stored one."""
    key = dataclasses.replace(process.keys[0], material=KeyMaterial(bytes(32)))
    return process.write_keys(keys=(key,))


def token_key(process: Writer) -> WriteKeys:
    """A token key in the place of a data key."""
    stored = process.bench.keys.token_keys()[0]
    assert stored.purpose is KeyPurpose.TOKEN
    return process.write_keys(keys=(DataKey(stored.key_id, IP, KeyMaterial(bytes(32))),))


def newly_pending(process: Writer) -> WriteKeys:
    """A generation became pending, and the batch has no next tokens."""
    process.bench.pending(token_keys(2))
    return process.write_keys()


def no_longer_pending(process: Writer) -> WriteKeys:
    """The batch has next tokens of a generation that is not there."""
    return process.write_keys(1, 2)


def another_pending(process: Writer) -> WriteKeys:
    """The batch has next tokens of another generation than the pending one."""
    process.bench.pending(token_keys(2))
    return process.write_keys(1, 3)


def another_active(process: Writer) -> WriteKeys:
    """The batch has tokens of another generation than the active one."""
    return process.write_keys(2)


CHANGES = [
    retired,
    expired,
    unknown,
    mixed_up,
    token_key,
    newly_pending,
    no_longer_pending,
    another_pending,
    another_active,
]
