"""Every way to loosen a policy by one word: each must change some answer, or no test would notice."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any, Final

from tests.attacks.iam.answers import PRINCIPALS
from tests.attacks.iam.documents import (
    ACCOUNT,
    FOREIGN_ACCOUNT,
    LOGIN,
    OTHER_ENDPOINT,
    OTHER_LOGINS,
    OTHER_VPC,
)
from tests.attacks.iam.questions import (
    BUCKETS,
    KEYS,
    OF_BUCKETS,
    OF_QUEUES,
    QUEUES,
    REWRAP,
    WITH_CONTEXT,
    WITH_SIGNATURE,
    WITHOUT_CONTEXT,
)

Statement = dict[str, Any]

MORE_VALUES: Final = {
    "kms:EncryptionContext:app": ("another",),
    "kms:EncryptionContext:purpose": ("data", "token"),
    "kms:EncryptionContext:field": ("ip", "device_id", "email", "quarantine", "source", "user_id"),
    "kms:EncryptionContext:key_id": ("true",),
    "kms:EncryptionContextKeys": ("more",),
    "kms:ReEncryptOnSameKey": ("false",),
    "kms:MessageType": ("DIGEST",),
    "kms:SigningAlgorithm": ("ECDSA_SHA_384",),
    "aws:SourceAccount": (FOREIGN_ACCOUNT,),
    "aws:MultiFactorAuthPresent": ("false",),
    "aws:MultiFactorAuthAge": ("86400",),
    "aws:SourceVpce": (OTHER_ENDPOINT,),
    "aws:SourceVpc": (OTHER_VPC,),
    "sts:RoleSessionName": ("ben",),
}
"""Condition key → what one might add to its values."""

_OF_SERVICE: Final = {
    "kms": KEYS,
    "rds-db": (LOGIN, *OTHER_LOGINS),
    "s3": BUCKETS,
    "sqs": QUEUES,
}
"""What can be named in a policy, by the service in its ARN."""

_ACCOUNT_ROOT: Final = f"arn:aws:iam::{ACCOUNT}:root"


def loosened(document: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Each way, in words, and the policy that it makes."""
    for index, statement in enumerate(document["Statement"]):
        if statement["Effect"] == "Allow":
            idle, kept = _changes_nothing(document, statement), _kept_to_names(document)
            ways = _of_allow(statement, idle, kept)
        else:
            ways = _of_deny(statement)
        for how, changed in ways:
            loose = copy.deepcopy(dict(document))
            loose["Statement"][index : index + 1] = [] if changed is None else [changed]
            yield f"{statement['Sid']}: {how}", loose


def _of_allow(
    statement: Statement, idle: set[str], kept: set[str]
) -> Iterator[tuple[str, Statement | None]]:
    yield from _more_actions(statement, idle)
    if statement.get("Resource", "*") != "*":
        yield "any resource", statement | {"Resource": "*"}
        own = _as_list(statement["Resource"])
        for more in _OF_SERVICE[own[0].split(":")[2]]:
            if not any(fnmatchcase(more, each) for each in own):
                yield f"also {more}", statement | {"Resource": [*own, more]}
    yield from _fewer_conditions(statement)
    principal = statement.get("Principal")
    if principal and not set(_as_list(statement["Action"])) <= kept:
        yield "any principal", statement | {"Principal": "*"}
        if "Service" in principal:
            services = {"Service": [*_as_list(principal["Service"]), "lambda.amazonaws.com"]}
            yield "another service too", statement | {"Principal": services}
        else:
            accounts = {"AWS": [principal["AWS"], f"arn:aws:iam::{FOREIGN_ACCOUNT}:root"]}
            yield "another account too", statement | {"Principal": accounts}


def _more_actions(statement: Statement, idle: set[str]) -> Iterator[tuple[str, Statement | None]]:
    """A conditioned statement can be widened only to what carries the keys of its conditions.

    `idle`: actions that it can have besides without any effect.
    """
    own = _as_list(statement["Action"])
    service = own[0].partition(":")[0]
    keys = {key for pairs in statement.get("Condition", {}).values() for key in pairs}
    if keys & {"sts:RoleSessionName", "kms:ReEncryptOnSameKey"}:  # sent with no other action
        return
    if service == "rds-db":  # it has one action
        return
    yield f"{service}:*", statement | {"Action": f"{service}:*"}
    every: tuple[str, ...] = (*WITH_CONTEXT, *REWRAP)
    if not keys:
        every += (*WITHOUT_CONTEXT, *WITH_SIGNATURE)
    if "kms:MessageType" in keys:
        every = WITH_SIGNATURE
    if service == "sqs":
        every = OF_QUEUES
    if service == "s3":
        every = OF_BUCKETS
    if service == "sts":
        every = ("sts:TagSession",)
    for more in every:
        if more not in own and more not in idle:
            yield f"also {more}", statement | {"Action": [*own, more]}


def _fewer_conditions(statement: Statement) -> Iterator[tuple[str, Statement | None]]:
    conditions = statement.get("Condition", {})
    if conditions:
        yield "no conditions", {k: v for k, v in statement.items() if k != "Condition"}
    for operator, pairs in conditions.items():
        for key, values in pairs.items():
            rest = {name: value for name, value in pairs.items() if name != key}
            others = {name: value for name, value in conditions.items() if name != operator}
            yield (
                f"{key} not asked for",
                statement | {"Condition": others | ({operator: rest} if rest else {})},
            )
            for more in _more_values(key, _as_list(values)):
                wide = {operator: pairs | {key: [*_as_list(values), more]}}
                yield f"{key} also {more}", statement | {"Condition": conditions | wide}
            # AWS sends this one with every rewrap.
            if (
                operator in {"StringEquals", "Bool", "NumericLessThan"}
                and key != "kms:ReEncryptOnSameKey"
            ):
                lax = {f"{operator}IfExists": {key: values}}
                strict = {operator: rest} if rest else {}
                yield f"{key} if it exists", statement | {"Condition": others | strict | lax}


def _more_values(key: str, own: list[str]) -> tuple[str, ...]:
    more = ("no",) if key.startswith("aws:PrincipalTag/") else MORE_VALUES[key]
    return tuple(value for value in more if value not in own)


def _of_deny(statement: Statement) -> Iterator[tuple[str, Statement | None]]:
    yield "not denied at all", None
    actions = _as_list(statement["Action"])
    for action in actions:
        rest = [other for other in actions if other != action]
        if rest:
            yield f"{action} not denied", statement | {"Action": rest}
    if actions == ["sqs:*"]:
        yield "one action alone", statement | {"Action": "sqs:SendMessage"}
    resources = _as_list(statement["Resource"])
    for resource in resources if len(resources) > 1 else []:
        rest = [other for other in resources if other != resource]
        yield f"{resource} not guarded", statement | {"Resource": rest}
    if "Principal" in statement:
        yield "this account alone", statement | {"Principal": {"AWS": _ACCOUNT_ROOT}}
    yield from _more_excepted(statement)


def _more_excepted(statement: Statement) -> Iterator[tuple[str, Statement | None]]:
    conditions = statement.get("Condition", {})
    excepted = {
        arn for pairs in conditions.values() for arn in _as_list(pairs.get("aws:PrincipalArn", []))
    }
    others = {name: arn for name, arn in PRINCIPALS.items() if arn not in excepted}
    patterns = {each: each for each in ("*", f"arn:aws:iam::{ACCOUNT}:role/vault-etl-*")}
    for operator, pairs in conditions.items():
        for key, values in pairs.items():
            own = _as_list(values)
            if key == "aws:PrincipalArn":
                more = others | patterns if operator == "ArnNotEquals" else others
            else:
                more = {value: value for value in MORE_VALUES.get(key, ())}
            for name, value in more.items():
                wide = {operator: pairs | {key: [*own, value]}}
                yield f"{name} excepted", statement | {"Condition": conditions | wide}
            if operator in {"Bool", "BoolIfExists"}:
                flipped = {operator: {key: "true"}}
                yield f"{key} the other way round", statement | {"Condition": conditions | flipped}
            if operator == "StringNotEquals":
                only = {"Null": {key: "false"}}
                yield f"only who says {key}", statement | {"Condition": conditions | only}
        if operator == "BoolIfExists":
            rest = {name: each for name, each in conditions.items() if name != operator}
            yield "only who says it", statement | {"Condition": rest | {"Bool": pairs}}


def _changes_nothing(document: Mapping[str, Any], allow: Statement) -> set[str]:
    """Actions that the policy denies to every principal, or allows as widely by another statement."""
    return {
        action
        for statement in document["Statement"]
        if ("Condition" not in statement and statement["Effect"] == "Deny")
        or (
            statement["Effect"] == "Allow"
            and statement.get("Condition") in (None, allow.get("Condition"))
            and _covers(statement, allow)
        )
        for action in _as_list(statement["Action"])
    }


def _kept_to_names(document: Mapping[str, Any]) -> set[str]:
    """Actions that the policy denies to all but principals whom it names, of this account."""
    return {
        action
        for statement in document["Statement"]
        if statement["Effect"] == "Deny"
        and "aws:PrincipalArn" in statement.get("Condition", {}).get("ArnNotEquals", {})
        for action in _as_list(statement["Action"])
    }


def _covers(wide: Statement, narrow: Statement) -> bool:
    if wide.get("Principal") != narrow.get("Principal"):
        return False
    own = set(_as_list(wide.get("Resource", "*")))
    return own >= set(_as_list(narrow.get("Resource", "*")))


def _as_list(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value
