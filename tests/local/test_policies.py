"""The template, read as data: the permissions of each role, and the limits of every policy."""

from __future__ import annotations

from typing import Any

import pytest

from tests.kit.declarations import DEFAULT, WIDER
from vault_etl.declaration.iam import OwnRole
from vault_etl.declaration.model import Declaration
from vault_etl.local.policies import NeededPermission, boundary, identity_policy, is_allowed
from vault_etl.local.template import IAM_ROLES, KEYS, Template, resolve

NAMES = {
    "AWS::Partition": "aws",
    "AWS::Region": "eu-central-1",
    "AWS::AccountId": "111122223333",
    "BreakGlassPrincipal": "role/vault-etl-break-glass",
    "DataKey.Arn": "arn:aws:kms:eu-central-1:111122223333:key/data",
    "TokenKey.Arn": "arn:aws:kms:eu-central-1:111122223333:key/token",
    "AuditKey.Arn": "arn:aws:kms:eu-central-1:111122223333:key/audit",
    "ArchiveKey.Arn": "arn:aws:kms:eu-central-1:111122223333:key/archive",
    "LoginQueue.Arn": "arn:aws:sqs:eu-central-1:111122223333:vault-etl-logins",
    "DeadLetterQueue.Arn": "arn:aws:sqs:eu-central-1:111122223333:vault-etl-logins-dead",
}
DATA, TOKEN, AUDIT = (NAMES[f"{key}.Arn"] for key in ("DataKey", "TokenKey", "AuditKey"))


@pytest.fixture(scope="module", params=[DEFAULT, WIDER], ids=["default", "wider"])
def declaration(request: pytest.FixtureRequest) -> Declaration:
    """A declaration."""
    return request.param  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def template(declaration: Declaration) -> Template:
    """The real template, with a role for each field, and with the lake."""
    return Template.load(declaration, role_per_field=True, lake=True)


@pytest.mark.parametrize("role", IAM_ROLES)
def test_policies_name_arns(template: Template, role: str) -> None:
    """A policy names keys and queues by ARN: no alias, no wildcard, and no wildcard in an action."""
    for statement in template.policy(role, NAMES)["Statement"]:
        assert statement["Effect"] == "Allow"
        assert set(statement["Resource"]) <= set(NAMES.values())
        assert not [action for action in statement["Action"] if "*" in action]


@pytest.mark.parametrize("role", IAM_ROLES)
def test_symmetric_calls_are_bound(template: Template, role: str) -> None:
    """Every statement that opens, makes or rewraps a key is bound to app, purpose and field."""
    purposes_of = {DATA: {"data"}, TOKEN: {"token", "source"}}
    bound = {
        "kms:Decrypt",
        "kms:GenerateDataKey",
        "kms:GenerateDataKeyWithoutPlaintext",
        "kms:ReEncryptFrom",
        "kms:ReEncryptTo",
    }
    for statement in template.policy(role, NAMES)["Statement"]:
        if not bound & set(statement["Action"]):
            continue
        (key,) = statement["Resource"]
        wanted = statement["Condition"]["StringEquals"]
        assert wanted["kms:EncryptionContext:app"] == "vault-etl"
        purpose = wanted["kms:EncryptionContext:purpose"]
        assert purpose in purposes_of[key]
        of_source = wanted["kms:EncryptionContext:field"] == "source"
        assert of_source == (purpose == "source")
        assert statement["Condition"]["Null"] == {"kms:EncryptionContext:key_id": "false"}
        assert statement["Condition"]["ForAllValues:StringEquals"] == {
            "kms:EncryptionContextKeys": ["app", "purpose", "field", "key_id"]
        }
        if "kms:ReEncryptTo" in statement["Action"]:
            assert statement["Condition"]["Bool"] == {"kms:ReEncryptOnSameKey": "true"}


def test_a_role_of_one_field_opens_no_other(template: Template, declaration: Declaration) -> None:
    """Reveal opens every declared field and quarantine; the role of one field that field alone."""
    names = declaration.field_names
    assert _opened(template, "RevealRole") == {DATA: {*names, "quarantine"}, TOKEN: set(names)}
    for name in names:
        role = f"Reveal{OwnRole(name).id}Role"
        assert _opened(template, role) == {DATA: {name}, TOKEN: {name}}


def _opened(template: Template, role: str) -> dict[str, set[str]]:
    """The fields that an IAM role of the template may decrypt, by KMS key."""
    found: dict[str, set[str]] = {}
    for statement in template.role_policy(role, NAMES)["Statement"]:
        if "kms:Decrypt" in statement["Action"]:
            (key,) = statement["Resource"]
            fields = statement["Condition"]["StringEquals"]["kms:EncryptionContext:field"]
            found.setdefault(key, set()).update([fields] if isinstance(fields, str) else fields)
    return found


@pytest.mark.parametrize("key", KEYS.values())
def test_key_policies_agree(template: Template, declaration: Declaration, key: str) -> None:
    """A key's policy denies each use to all roles except those whose own policy allows it."""
    statements = resolve(template.properties(key)["KeyPolicy"], NAMES)["Statement"]
    seen = 0
    for statement in statements:
        if statement["Effect"] == "Allow" or "Condition" not in statement:
            continue
        if statement["Sid"] == "BreakGlassAlone":
            continue
        named = statement["Condition"]["ArnNotEquals"]["aws:PrincipalArn"]
        roles = {arn.rpartition("/vault-etl-")[2] for arn in named}
        for action in statement["Action"]:
            wanted = _roles_with(template, action, NAMES[f"{key}.Arn"])
            if "reveal" in wanted:
                wanted |= {f"reveal-{OwnRole(name).dashed}" for name in declaration.field_names}
            assert roles == wanted, action
            seen += 1
    assert seen == (1 if key in {"AuditKey", "ArchiveKey"} else 4)


def test_administrator_may_not_use(template: Template) -> None:
    """The account's own statement administers the keys, and neither uses nor grants them."""
    for key in KEYS.values():
        statements = template.properties(key)["KeyPolicy"]["Statement"]
        admin = next(s for s in statements if s["Sid"] == "AccountAdministers")
        uses = ("Decrypt", "Encrypt", "Generate", "ReEncrypt", "Sign", "CreateGrant")
        assert not [
            action
            for action in admin["Action"]
            if action.startswith(tuple(f"kms:{u}" for u in uses))
        ]


def test_symmetric_keys_rotate(template: Template) -> None:
    """AWS rotates the material of both symmetric keys."""
    assert template.properties("DataKey")["EnableKeyRotation"] is True
    assert template.properties("TokenKey")["EnableKeyRotation"] is True


def test_the_identity_policy_has_motos_names(template: Template) -> None:
    """Moto judges actions only, by the names of the calls."""
    derived = identity_policy(boundary("ingest", template, NAMES))
    (statement,) = derived["Statement"]
    assert statement["Resource"] == "*"
    assert "Condition" not in statement
    assert {"kms:GenerateDataKey", "sqs:DeleteMessageBatch"} <= set(statement["Action"])
    rotate = identity_policy(boundary("rotate", template, NAMES))["Statement"][0]["Action"]
    assert "kms:ReEncrypt" in rotate


def test_a_denied_action_is_not_allowed_in_moto() -> None:
    """A statement that denies, which a parameter adds, gives no action to an emulator's user."""
    named = Template.load(DEFAULT, WorkloadVpcs="vpc-0123456789abcdef0")
    statements = boundary("ingest", named, NAMES)["Statement"]
    assert "Deny" in {statement["Effect"] for statement in statements}
    (statement,) = identity_policy({"Statement": statements})["Statement"]
    assert "kms:*" not in statement["Action"]


@pytest.mark.parametrize(
    ("parameter", "value", "added"),
    [
        ("Producers", "arn:aws:iam::111122223333:role/web", {"SendingIsForProducers"}),
        ("WorkloadVpcs", "vpc-0123456789abcdef0", {"OwnNetworkAlone"}),
        ("WorkloadVpcEndpoints", "vpce-0123456789abcdef0", {"OwnNetworkAlone"}),
        ("DatabaseResource", "db-ABCDEFGHIJKL01234", {"LogIn"}),
    ],
)
def test_a_parameter_switches_on_its_own_rule(parameter: str, value: str, added: set[str]) -> None:
    """Each parameter that is off by default adds its own statement, and no other."""
    named = Template.load(DEFAULT, **{parameter: value})
    assert _statements(named) - _statements(Template.load(DEFAULT)) == added


def _statements(template: Template) -> set[str]:
    """Return the names of all that ingest may do, and of the queues' policy."""
    names = {**template.parameters, **NAMES}
    queues = resolve(template.properties("QueuePolicy")["PolicyDocument"], names)
    ingest = template.policy("ingest", NAMES)
    return {statement["Sid"] for policy in (queues, ingest) for statement in policy["Statement"]}


def test_an_unknown_function_in_a_condition_is_an_error() -> None:
    """The reader does not guess the result of CloudFormation."""
    assert Template.load(DEFAULT).parameters["Producers"] == ["none"]
    document: dict[str, Any] = {
        "Parameters": {},
        "Conditions": {"A": {"Fn::And": []}},
        "Resources": {},
    }
    with pytest.raises(NotImplementedError, match="Fn::And"):
        Template(document, {})


@pytest.mark.parametrize(
    "context",
    [
        {},
        {"app": "vault-etl", "purpose": "data", "field": "ip"},
        {"app": "vault-etl", "purpose": "data", "field": "ip", "key_id": "7", "more": ""},
        {"app": "vault-etl", "purpose": "token", "field": "ip", "key_id": "7"},
        {"app": "vault-etl", "purpose": "data", "field": "user_id", "key_id": "7"},
    ],
)
def test_a_context_needs_exactly_four_pairs(template: Template, context: dict[str, str]) -> None:
    """A context with a pair missing, added or changed is refused; the right context is not."""
    statements = boundary("ingest", template, NAMES)["Statement"]
    right = {"app": "vault-etl", "purpose": "data", "field": "ip", "key_id": "7"}
    assert is_allowed(NeededPermission("kms:GenerateDataKey", DATA, right), statements)
    assert not is_allowed(NeededPermission("kms:GenerateDataKey", DATA, context), statements)


def test_an_unknown_operator_denies() -> None:
    """An unknown condition gives no permission."""
    statement = {
        "Effect": "Allow",
        "Action": ["kms:Sign"],
        "Resource": ["*"],
        "Condition": {"IpAddress": {"aws:SourceIp": "198.18.0.0/15"}},
    }
    with pytest.raises(NotImplementedError):
        is_allowed(NeededPermission("kms:Sign", AUDIT), [statement])


def test_deny_wins() -> None:
    """A statement that denies overrides one that allows, in either order."""
    allow: dict[str, Any] = {"Effect": "Allow", "Action": ["kms:*"], "Resource": "*"}
    deny = {"Effect": "Deny", "Action": ["kms:Sign"], "Resource": [AUDIT]}
    needed = NeededPermission("kms:Sign", AUDIT)
    assert is_allowed(needed, [allow])
    assert not is_allowed(needed, [allow, deny])
    assert not is_allowed(needed, [deny, allow])
    assert not is_allowed(needed, [])


def _roles_with(template: Template, action: str, key: str) -> set[str]:
    return {
        role
        for role in IAM_ROLES
        for statement in template.policy(role, NAMES)["Statement"]
        if action in statement["Action"] and key in statement["Resource"]
    }
