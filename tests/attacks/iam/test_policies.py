"""The template's policies before an evaluator that understands conditions: every answer, and every loosening."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import pytest

from tests.attacks.iam.answers import (
    ALLOWED,
    ATTACHED,
    ATTACHED_ONCE_NAMED,
    BREAK_GLASS,
    DENIED,
    MAY,
    NAMED_ONLY,
    NETWORK,
    OF_WORKLOADS,
    PRINCIPALS,
    ROOT,
    SILENT,
    guard_says,
)
from tests.attacks.iam.documents import (
    ARCHIVE,
    AUDIT,
    DATA,
    DEAD_LETTERS,
    EVERYTHING,
    KEY_POLICIES,
    OPEN_KEY,
    OWN_KEY,
    PARAMETERS,
    QUEUE,
    QUEUE_POLICY,
    TOKEN,
    Policy,
    attached,
    policies_of,
    surroundings,
)
from tests.attacks.iam.loosened import loosened
from tests.attacks.iam.network import OWN_NETWORK, PLACES, network_requests
from tests.attacks.iam.producers import producer_requests
from tests.attacks.iam.questions import (
    BAD,
    REWRAP,
    SIGNED,
    WITH_CONTEXT,
    Question,
    context,
    questions,
)
from tests.attacks.iam.simulator import Mutant, Request, simulate
from tests.attacks.iam.trust import trust_requests
from vault_etl.local.template import Template

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]

DEFAULT, SET = Template.load(), Template.load(**PARAMETERS)
"""As it is deployed when nothing is given, and with every rule that a parameter switches on."""
both_forms = pytest.mark.parametrize("template", [DEFAULT, SET], ids=["default", "all set"])

GUARDED = {**KEY_POLICIES, QUEUE: QUEUE_POLICY, DEAD_LETTERS: QUEUE_POLICY}


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table: who asks what, and the expected decision."""

    who: str
    asked: object
    request: Request
    expected: str
    composed: bool = False
    """Follows from other rows, and so adds nothing to the search for what a loosening flips."""


@both_forms
def test_every_role_has_its_policies_attached(template: Template) -> None:
    """Each role has the policies that the table says, and every policy of the template is in the table."""
    network = (NETWORK,) if template is SET else ()
    named = ATTACHED_ONCE_NAMED if template is SET else {}
    assert {role: attached(template, role) for role in ATTACHED} == {
        role: policies + (network if role in OF_WORKLOADS else ()) + named.get(role, ())
        for role, policies in ATTACHED.items()
    }
    everything = policies_of(template)
    assert {name for name, policy in everything.items() if policy.kind == "identity"} == {
        *may(template),
        *network,
    }
    assert {name for name, policy in everything.items() if policy.kind == "trust"} == set(ATTACHED)


@both_forms
def test_policies_answer_every_row_of_the_table(template: Template) -> None:
    """Every policy, key, queue and role answers every question as the table says."""
    rows = table(template)
    decided = simulate(all_policies(template), [row.request for row in rows]).decisions
    wrong = [
        f"{row.who}: {row.asked}: {decision}, not {row.expected}"
        for row, decision in zip(rows, decided, strict=True)
        if decision != row.expected
    ]
    assert wrong == []
    expected = Counter(row.expected for row in rows)
    assert len(rows) > 10_000
    assert min(expected[ALLOWED], expected[DENIED], expected[SILENT]) > 100


HEADLINES = [
    ("IngestRole", "kms:GenerateDataKey", DATA, context("data", "ip"), True),
    ("IngestRole", "kms:Decrypt", TOKEN, context("token", "ip"), True),
    ("IngestRole", "kms:Decrypt", DATA, context("data", "ip"), False),
    ("IngestRole", "kms:Decrypt", DATA, (), False),
    ("IngestRole", "kms:ReEncryptFrom", DATA, context("data", "ip"), False),
    ("IngestRole", "kms:GenerateDataKey", TOKEN, context("token", "ip"), False),
    ("RevealRole", "kms:Decrypt", DATA, context("data", "device_id"), True),
    ("RevealRole", "kms:Decrypt", DATA, context("data", "ip", more="x"), False),
    ("RevealRole", "kms:GenerateDataKey", DATA, context("data", "ip"), False),
    ("RevealIpRole", "kms:Decrypt", DATA, context("data", "ip"), True),
    ("RevealIpRole", "kms:Decrypt", DATA, context("data", "device_id"), False),
    ("RevealIpRole", "kms:Decrypt", DATA, context("data", "quarantine"), False),
    ("RevealIpRole", "kms:Decrypt", TOKEN, context("token", "device_id"), False),
    ("RevealDeviceIdRole", "kms:Decrypt", DATA, context("data", "ip"), False),
    ("RotateRole", "kms:Decrypt", DATA, context("data", "ip"), False),
    ("RotateRole", "kms:Decrypt", TOKEN, context("token", "ip"), False),
    ("RotateRole", "kms:ReEncryptTo", OWN_KEY, context("data", "ip"), False),
    ("RotateRole", "kms:GenerateDataKey", DATA, context("data", "ip"), False),
    ("RotateRole", "kms:GenerateDataKey", TOKEN, context("token", "ip"), False),
    ("RotateRole", "kms:GenerateDataKeyWithoutPlaintext", TOKEN, context("token", "ip"), False),
    ("ReEncryptRole", "kms:GenerateDataKey", TOKEN, context("token", "ip"), False),
    ("ReEncryptRole", "kms:GenerateDataKeyWithoutPlaintext", TOKEN, context("token", "ip"), True),
    ("ReEncryptRole", "kms:Decrypt", DATA, context("data", "quarantine"), True),
    ("EraseRole", "kms:Decrypt", DATA, context("data", "ip"), False),
    ("EraseRole", "kms:Sign", AUDIT, (), True),
    ("OwnerRole", "kms:Sign", AUDIT, (), False),
    ("OwnerRole", "kms:Sign", ARCHIVE, (), True),
    ("AuditRole", "kms:Sign", ARCHIVE, (), False),
    ("OwnerRole", "kms:Decrypt", DATA, context("data", "ip"), False),
    ("OwnerRole", "kms:Decrypt", TOKEN, context("token", "ip"), False),
    ("OwnerRole", "kms:PutKeyPolicy", AUDIT, (), False),
    ("OwnerRole", "sqs:ReceiveMessage", QUEUE, (), False),
    ("administrator", "kms:Sign", AUDIT, (), False),
    ("AuditRole", "kms:GetPublicKey", AUDIT, (), True),
    ("AuditRole", "kms:Decrypt", TOKEN, context("token", "ip"), False),
    ("administrator", "kms:Decrypt", DATA, context("data", "ip"), False),
    ("administrator", "kms:PutKeyPolicy", DATA, (), False),
    ("administrator", "sqs:ReceiveMessage", QUEUE, (), False),
    # A redrive needs all four of its caller; on the queue itself break glass reads nothing.
    (BREAK_GLASS, "sqs:StartMessageMoveTask", DEAD_LETTERS, (), True),
    (BREAK_GLASS, "sqs:ReceiveMessage", DEAD_LETTERS, (), True),
    (BREAK_GLASS, "sqs:DeleteMessage", DEAD_LETTERS, (), True),
    (BREAK_GLASS, "sqs:SendMessage", QUEUE, (), True),
    (BREAK_GLASS, "sqs:ReceiveMessage", QUEUE, (), False),
    ("administrator", "sqs:StartMessageMoveTask", DEAD_LETTERS, (), False),
]


def test_promises_of_the_design_hold_for_real_requests() -> None:
    """Promises of design.md in words hold for real requests: the role's policies and the key's together."""
    requests = []
    for who, action, resource, pairs, _ in HEADLINES:
        same_key = False if "ReEncrypt" in action else None
        signed = SIGNED if action == "kms:Sign" else ()
        requests.append(_both(who, Question(action, resource, pairs, same_key, signed=signed)))
    decided = simulate(all_policies(DEFAULT), requests).decisions
    assert [decision == ALLOWED for decision in decided] == [row[-1] for row in HEADLINES]


def test_a_workload_role_outside_its_network() -> None:
    """Stolen credentials of ingest open no token key elsewhere; a person's role is not bound to it."""
    question = Question("kms:Decrypt", TOKEN, context("token", "ip"))
    requests = []
    for role in ("IngestRole", "RevealRole"):
        inside = _both(role, question, attached(SET, role))
        sent = {key: value for key, value in inside.context.items() if "SourceVpc" not in key}
        requests += [inside, dataclasses.replace(inside, context=sent)]
    decided = simulate(all_policies(SET), requests).decisions
    assert decided == [ALLOWED, DENIED, ALLOWED, ALLOWED]


def test_no_policy_can_be_loosened_by_a_word_unnoticed() -> None:
    """Every statement is loosened in every way of `loosened.py`, and each time some row flips."""
    policies = policies_of(SET)
    requests = [row.request for row in table(SET) if not row.composed]
    mutants = [
        Mutant(name, how, document)
        for name, policy in policies.items()
        for how, document in loosened(policy.document)
    ]
    flips = simulate(all_policies(SET), requests, mutants).flips
    unnoticed = [
        f"{mutant.of}: {mutant.how}"
        for mutant, flip in zip(mutants, flips, strict=True)
        if flip is None
    ]
    assert unnoticed == []
    statements = {(mutant.of, mutant.how.partition(":")[0]) for mutant in mutants}
    assert len(statements) == sum(len(policy.document["Statement"]) for policy in policies.values())
    assert len(mutants) > 500


def all_policies(template: Template) -> dict[str, Policy]:
    """The policies of the template, and those around it."""
    return {**policies_of(template), **surroundings()}


def may(template: Template) -> dict[str, set[Question]]:
    """Managed policy → all that it allows, with the parameters of this template."""
    return MAY | NAMED_ONLY if template is SET else MAY


def table(template: Template) -> list[Row]:
    """Each policy by itself, each key and queue by itself, roles as they are on AWS, and trust.

    A key or queue is tried by itself with principals whose own policy allows everything.
    """
    rows = []
    asked = list(questions())
    for policy, allowed in may(template).items():
        for question in asked:
            expected = ALLOWED if question in allowed else SILENT
            rows.append(Row(policy, question, _alone(policy, question), expected))
    for question in asked:
        if question.resource not in GUARDED:
            continue
        for principal in _tried_with(question):
            expected = guard_says(principal, question, producers_named=template is SET)
            rows.append(Row(principal, question, _guarded(principal, question), expected))
        for role in ATTACHED:
            policies = attached(template, role)
            expected = guard_says(role, question, producers_named=template is SET)
            if expected == ALLOWED and not any(question in MAY.get(name, ()) for name in policies):
                expected = SILENT
            request = _both(role, question, policies)
            rows.append(Row(role, question, request, expected, composed=True))
    more = [*trust_requests(), *producer_requests(named=template is SET)]
    if template is SET:
        more += network_requests()
    rows += [Row(what, "", request, expected) for what, request, expected in more]
    return rows


def _tried_with(question: Question) -> Iterable[str]:
    """A context that no principal may use is tried with a principal that may use others, and two that may not."""
    takes_context = question.action in (*WITH_CONTEXT, *REWRAP)
    if takes_context and question.context in BAD.get(question.resource, ()):
        return ("ReEncryptRole", "AuditRole", "administrator")
    return PRINCIPALS


def _alone(policy: str, question: Question) -> Request:
    """A policy by itself: the key's own lets the account do everything."""
    guard = OPEN_KEY if ":kms:" in question.resource else None
    return _request("IngestRole", question, (policy,), guard)


def _guarded(principal: str, question: Question) -> Request:
    """A key's or queue's policy by itself: the principal's own allows everything."""
    return _request(principal, question, (EVERYTHING,), GUARDED[question.resource])


def _both(role: str, question: Question, policies: tuple[str, ...] = ()) -> Request:
    """Judge by the role's and the resource's policies. A principal without a role of ours is an administrator."""
    identity = policies or ATTACHED.get(role, (EVERYTHING,))
    return _request(role, question, identity, GUARDED.get(question.resource, OPEN_KEY))


def _request(
    principal: str, question: Question, identity: tuple[str, ...], guard: str | None
) -> Request:
    arn = PRINCIPALS[principal]
    caller = arn if principal == ROOT else _session(arn)
    sent = {"aws:PrincipalArn": arn, **PLACES[OWN_NETWORK]} | question.condition_keys()
    return Request(caller, question.action, question.resource, sent, identity, guard)


def _session(role_arn: str) -> str:
    """A session of a role, which is who calls; `aws:PrincipalArn` is the role."""
    account, name = role_arn.split(":")[4], role_arn.rpartition("/")[2]
    return f"arn:aws:sts::{account}:assumed-role/{name}/ana"
