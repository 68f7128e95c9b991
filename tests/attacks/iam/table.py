"""The table of questions and expected answers for a template."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tests.attacks.iam.answers import (
    ALLOWED,
    NAMED_ONLY,
    PRINCIPALS,
    ROOT,
    SILENT,
)
from tests.attacks.iam.answers_by_fields import Answers, guard_says
from tests.attacks.iam.documents import (
    DEAD_LETTERS,
    EVERYTHING,
    KEY_POLICIES,
    OPEN_KEY,
    PARAMETERS,
    QUEUE,
    QUEUE_POLICY,
    Policy,
    attached,
    policies_of,
    surroundings,
)
from tests.attacks.iam.network import OWN_NETWORK, PLACES, network_requests
from tests.attacks.iam.producers import producer_requests
from tests.attacks.iam.questions import BAD, REWRAP, WITH_CONTEXT, Question, questions
from tests.attacks.iam.simulator import Request
from tests.attacks.iam.trust import trust_requests
from vault_etl.declaration.model import Declaration
from vault_etl.local.template import Template


@dataclass(frozen=True, slots=True)
class Form:
    """A template, and the answers that it must give. `is_set`: with the lake, and with every parameter."""

    template: Template
    answers: Answers
    is_set: bool

    @classmethod
    def of(cls, declaration: Declaration, *, own_roles: bool, is_set: bool) -> Form:
        """The form of a declaration's template."""
        parameters = PARAMETERS if is_set else {}
        template = Template.load(declaration, role_per_field=own_roles, lake=is_set, **parameters)
        return cls(template, Answers(declaration.field_names, own_roles, is_set), is_set)

    def may(self) -> dict[str, set[Question]]:
        """Managed policy → all that it allows, with the parameters of this template."""
        return self.answers.may | (NAMED_ONLY if self.is_set else {})


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


def all_policies(template: Template) -> dict[str, Policy]:
    """The policies of the template, and those around it."""
    return {**policies_of(template), **surroundings()}


def table(form: Form) -> list[Row]:
    """Each policy by itself, each key and queue by itself, roles as they are on AWS, and trust.

    A key or queue is tried by itself with principals whose own policy allows everything.
    """
    rows = []
    asked = list(questions())
    may = form.answers.may
    for policy, allowed in form.may().items():
        for question in asked:
            expected = ALLOWED if question in allowed else SILENT
            rows.append(Row(policy, question, _alone(policy, question), expected))
    for question in asked:
        if question.resource not in GUARDED:
            continue
        for principal in _tried_with(question):
            expected = guard_says(form.answers, principal, question, producers_named=form.is_set)
            rows.append(Row(principal, question, _guarded(principal, question), expected))
        for role in form.answers.attached:
            policies = attached(form.template, role)
            expected = guard_says(form.answers, role, question, producers_named=form.is_set)
            if expected == ALLOWED and not any(question in may.get(name, ()) for name in policies):
                expected = SILENT
            request = both(role, question, policies)
            rows.append(Row(role, question, request, expected, composed=True))
    more = [*trust_requests(form.answers.attached), *producer_requests(named=form.is_set)]
    if form.is_set:
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


def both(role: str, question: Question, policies: tuple[str, ...] = ()) -> Request:
    """Judge by the role's and the resource's policies. A principal without a role of ours is an administrator."""
    identity = policies or (EVERYTHING,)
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
