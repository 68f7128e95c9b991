"""The template's policies before an evaluator that understands conditions: every answer, and every loosening."""

from __future__ import annotations

import copy
import dataclasses
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from typing_extensions import override

from tests.attacks.iam.answers import (
    ALLOWED,
    ATTACHED_ONCE_NAMED,
    BREAK_GLASS,
    DENIED,
    NETWORK,
    OF_WORKLOADS,
    SILENT,
)
from tests.attacks.iam.documents import (
    ARCHIVE,
    AUDIT,
    DATA,
    DEAD_LETTERS,
    OWN_KEY,
    QUEUE,
    TOKEN,
    Policy,
    attached,
    policies_of,
)
from tests.attacks.iam.loosened import loosened
from tests.attacks.iam.questions import SIGNED, Question, context
from tests.attacks.iam.simulator import Mutant, simulate
from tests.attacks.iam.table import Form, all_policies, both, table
from tests.kit.declarations import DEFAULT, WIDER
from vault_etl.crypto.fields import KeyPurpose
from vault_etl.doctor.permissions import NEEDED, Permission, PermissionTrial, permissions

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]


PLAIN = Form.of(DEFAULT, own_roles=False, is_set=False)
SET = Form.of(DEFAULT, own_roles=True, is_set=True)
MORE = Form.of(WIDER, own_roles=True, is_set=False)
"""The template of another declaration, which has a third field."""
forms = pytest.mark.parametrize("form", [PLAIN, SET, MORE], ids=["default", "all set", "wider"])


@forms
def test_every_role_has_its_policies_attached(form: Form) -> None:
    """Each role has the policies that the table says, and every policy of the template is in the table."""
    network = (NETWORK,) if form.is_set else ()
    named = ATTACHED_ONCE_NAMED if form.is_set else {}
    wanted = form.answers.attached
    assert {role: sorted(attached(form.template, role)) for role in wanted} == {
        role: sorted(policies + (network if role in OF_WORKLOADS else ()) + named.get(role, ()))
        for role, policies in wanted.items()
    }
    everything = policies_of(form.template)
    assert {name for name, policy in everything.items() if policy.kind == "identity"} == {
        *form.may(),
        *network,
    }
    assert {name for name, policy in everything.items() if policy.kind == "trust"} == set(wanted)


@forms
def test_policies_answer_every_row_of_the_table(form: Form) -> None:
    """Every policy, key, queue and role answers every question as the table says."""
    rows = table(form)
    decided = simulate(all_policies(form.template), [row.request for row in rows]).decisions
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
    ("RevealRole", "kms:Decrypt", DATA, context("data", "email"), True),
    ("RevealRole", "kms:Decrypt", DATA, context("data", "user_id"), False),
    ("RevealEmailRole", "kms:Decrypt", DATA, context("data", "email"), True),
    ("RevealEmailRole", "kms:Decrypt", TOKEN, context("token", "ip"), False),
    ("RevealIpRole", "kms:Decrypt", DATA, context("data", "email"), False),
    ("IngestRole", "kms:GenerateDataKey", DATA, context("data", "email"), True),
    ("IngestRole", "kms:Decrypt", DATA, context("data", "email"), False),
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
        policies = MORE.answers.attached.get(who, ())
        question = Question(action, resource, pairs, same_key, signed=signed)
        requests.append(both(who, question, policies))
    decided = simulate(all_policies(MORE.template), requests).decisions
    assert [decision == ALLOWED for decision in decided] == [row[-1] for row in HEADLINES]


FIELD = "kms:EncryptionContext:field"
ROLES = {"ingest": "IngestRole", "reveal": "RevealRole", "re_encrypt": "ReEncryptRole"}


@dataclass
class Simulated(PermissionTrial):
    """The trials of `doctor`, which the template's policies answer: a role's and the key's together."""

    role: str
    policies: tuple[str, ...]
    template: dict[str, Policy]

    @override
    def allows(self, permission: Permission) -> bool | None:
        """Ask about a key that is not stored."""
        resource = DATA if permission.purpose is KeyPurpose.DATA else TOKEN
        pairs = context(permission.purpose, permission.field, key_id="0")
        request = both(self.role, Question(permission.call, resource, pairs), self.policies)
        return simulate(self.template, [request]).decisions == [ALLOWED]


@pytest.mark.parametrize("role", NEEDED)
def test_doctor_finds_the_template_good(role: str) -> None:
    """The template allows what `doctor` asks for, quarantined bodies included, and no field more."""
    iam_role = ROLES[role]
    policies = all_policies(PLAIN.template)
    trial = Simulated(iam_role, attached(PLAIN.template, iam_role), policies)
    verdict = permissions([role], DEFAULT.field_names, trial)
    assert verdict.ok, verdict
    assert verdict.detail.endswith("of ip, device_id, quarantine")


def test_doctor_finds_a_decrypt_of_any_field() -> None:
    """Of a template whose policies list the fields for new keys alone."""
    policies = {
        name: dataclasses.replace(policy, document=_opens_any_field(policy.document))
        for name, policy in all_policies(PLAIN.template).items()
    }
    trial = Simulated("IngestRole", attached(PLAIN.template, "IngestRole"), policies)
    verdict = permissions(["ingest"], DEFAULT.field_names, trial)
    assert verdict.ok is None, verdict
    assert "also allows kms:Decrypt of token keys of a field that no vault has" in verdict.detail


def _opens_any_field(document: Mapping[str, Any]) -> Mapping[str, Any]:
    changed = copy.deepcopy(dict(document))
    for statement in changed["Statement"]:
        if "kms:Decrypt" in statement["Action"]:
            statement.get("Condition", {}).get("StringEquals", {}).pop(FIELD, None)
    return changed


def test_a_workload_role_outside_its_network() -> None:
    """Stolen credentials of ingest open no token key elsewhere; a person's role is not bound to it."""
    question = Question("kms:Decrypt", TOKEN, context("token", "ip"))
    requests = []
    for role in ("IngestRole", "RevealRole"):
        inside = both(role, question, attached(SET.template, role))
        sent = {key: value for key, value in inside.context.items() if "SourceVpc" not in key}
        requests += [inside, dataclasses.replace(inside, context=sent)]
    decided = simulate(all_policies(SET.template), requests).decisions
    assert decided == [ALLOWED, DENIED, ALLOWED, ALLOWED]


def test_no_policy_can_be_loosened_by_a_word_unnoticed() -> None:
    """Every statement is loosened in every way of `loosened.py`, and each time some row flips."""
    policies = policies_of(SET.template)
    requests = [row.request for row in table(SET) if not row.composed]
    mutants = [
        Mutant(name, how, document)
        for name, policy in policies.items()
        for how, document in loosened(policy.document)
    ]
    flips = simulate(all_policies(SET.template), requests, mutants).flips
    unnoticed = [
        f"{mutant.of}: {mutant.how}"
        for mutant, flip in zip(mutants, flips, strict=True)
        if flip is None
    ]
    assert unnoticed == []
    statements = {(mutant.of, mutant.how.partition(":")[0]) for mutant in mutants}
    assert len(statements) == sum(len(policy.document["Statement"]) for policy in policies.values())
    assert len(mutants) > 500
