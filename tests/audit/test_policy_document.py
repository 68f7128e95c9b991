"""Documents of the reveal policy: one spelling, and all other documents are refused with the place of the fault."""

from __future__ import annotations

import json

import pytest

from tests.kit.declarations import WIDER
from tests.kit.declared import FIELDS
from vault_etl.audit.policy import DEFAULT_POLICY, parse_policy
from vault_etl.base.errors import ConfigurationError

FULL = {
    "reveals_an_hour": 5,
    "purposes": {
        "fraud": {
            "fields": ["ip"],
            "masked_fields": ["device_id", "device_id"],
            "ticket_pattern": "F-[0-9]+",
        },
        "support call": {},
    },
}


def test_a_policy_has_one_spelling() -> None:
    """The document is sorted and complete, and is the same when it is parsed again."""
    text = parse_policy(json.dumps(FULL), FIELDS)
    assert json.loads(text)["purposes"] == {
        "fraud": {
            "fields": ["ip"],
            "masked_fields": ["device_id"],
            "ticket_pattern": "F-[0-9]+",
        },
        "support call": {"fields": [], "masked_fields": [], "ticket_pattern": None},
    }
    assert parse_policy(text, FIELDS) == text


def test_a_policy_names_declared_fields() -> None:
    """The fields of the vault, and bodies in quarantine. The error lists them."""
    policy = '{"purposes": {"fraud": {"fields": ["email", "quarantine"]}}}'
    assert json.loads(parse_policy(policy, WIDER.data_fields))["purposes"]["fraud"]["fields"]
    with pytest.raises(ConfigurationError, match="of this vault: ip, device_id, quarantine"):
        parse_policy(policy, FIELDS)


def test_an_omitted_member_has_its_default() -> None:
    """An empty object is the policy that is in force when none was set: 50 an hour, any purpose."""
    assert json.loads(parse_policy("{}", FIELDS)) == DEFAULT_POLICY
    assert DEFAULT_POLICY["reveals_an_hour"] == 50


@pytest.mark.parametrize(
    ("policy", "place"),
    [
        ("", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "the policy is an object"),
        ('{"quota": 5}', "quota"),
        ('{"reveals_an_hour": true}', "reveals_an_hour"),
        ('{"reveals_an_hour": 1.5}', "reveals_an_hour"),
        ('{"reveals_an_hour": -1}', "reveals_an_hour"),
        ('{"reveals_an_hour": 1000001}', "reveals_an_hour"),
        ('{"purposes": []}', "purposes"),
        ('{"purposes": {"": {}}}', "a purpose is a word"),
        ('{"purposes": {"a\\nb": {}}}', "a purpose is a word"),
        ('{"purposes": {"a\\u200bb": {}}}', "a purpose is a word"),
        ('{"purposes": {" a": {}}}', "a purpose is a word"),
        ('{"purposes": {"' + "a" * 65 + '": {}}}', "a purpose is a word"),
        ('{"purposes": {"fraud": []}}', "the purpose fraud"),
        ('{"purposes": {"fraud": {"field": ["ip"]}}}', "unknown: field"),
        ('{"purposes": {"fraud": {"fields": "ip"}}}', "the fields of fraud"),
        ('{"purposes": {"fraud": {"fields": ["user_id"]}}}', "the fields of fraud"),
        ('{"purposes": {"fraud": {"masked_fields": [[]]}}}', "the fields of fraud"),
        ('{"purposes": {"fraud": {"ticket_pattern": 5}}}', "ticket_pattern"),
        ('{"purposes": {"fraud": {"ticket_pattern": "' + "a" * 201 + '"}}}', "ticket_pattern"),
    ],
)
def test_a_malformed_policy_is_refused(policy: str, place: str) -> None:
    """Exit 78, with the place of the fault."""
    with pytest.raises(ConfigurationError, match="not a reveal policy") as caught:
        parse_policy(policy, FIELDS)
    assert place in str(caught.value)
    assert caught.value.hint
