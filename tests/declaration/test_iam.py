"""The template by declaration: names of fields, roles of fields, and the quotas of AWS."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
import yaml

from tests.kit.declarations import DEFAULT, WIDER
from vault_etl.crypto.fields import EventName, FieldName
from vault_etl.declaration.iam import MAX_INLINE, OwnRole, iam_template
from vault_etl.declaration.rules import MAX_EVENTS, MAX_FIELDS
from vault_etl.local.template import IAM_ROLES, Template, resolve

LARGEST: Final = dataclasses.replace(
    DEFAULT,
    fields=tuple(
        dataclasses.replace(DEFAULT.fields[0], name=FieldName(f"f{number:_>30}"))
        for number in range(MAX_FIELDS)
    ),
    events=tuple(
        dataclasses.replace(DEFAULT.events[0], name=EventName(f"e{number}"), queue=queue)
        for number, queue in enumerate(f"{'q' * 73}{n:02}.fifo" for n in range(MAX_EVENTS))
    ),
)
"""As many fields as a declaration may have, with the longest names, and as many `_` as the template's names double.

Each event has a queue of its own, with the longest name that SQS takes.
"""


@pytest.mark.command
def test_cfn_lint_accepts_the_templates(tmp_path: Path) -> None:
    """CloudFormation's own linter has no finding, not even an information, about the templates' extremes."""
    paths = [tmp_path / f"{name}.yaml" for name in ("default", "largest", "regions")]
    paths[0].write_text(iam_template(DEFAULT), encoding="utf-8")
    paths[1].write_text(iam_template(LARGEST, role_per_field=True, lake=True), encoding="utf-8")
    paths[2].write_text(iam_template(DEFAULT, multi_region=True), encoding="utf-8")
    program = Path(sys.executable).parent / "cfn-lint"
    command = [str(program), "--include-checks", "I", "--", *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_roles_of_fields_are_an_option() -> None:
    """Without it, there is no role of a field, and no key's policy names one."""
    assert "reveal-ip" in iam_template(DEFAULT, role_per_field=True)
    assert not re.search("reveal-(ip|device)", iam_template(DEFAULT))


def test_the_lake_is_an_option() -> None:
    """It adds three policies, and changes five roles and the policy of the archive key, alone."""
    without, with_lake = (
        yaml.safe_load(iam_template(DEFAULT, lake=on))["Resources"] for on in (False, True)
    )
    policies = {"LakeSignPolicy", "LakeProofPolicy", "LakeReadPolicy"}
    assert with_lake.keys() - without.keys() == policies
    changed = {name for name in without if without[name] != with_lake[name]}
    roles = ("IngestRole", "RevealRole", "ReEncryptRole", "EraseRole", "AuditRole")
    assert changed == {"ArchiveKey", *roles}


def test_roles_may_use_the_replicas_of_multi_region_keys() -> None:
    """The option changes the keys, who may replicate them, and the region of each key in a role's policy, alone."""
    one, many = (
        yaml.safe_load(iam_template(DEFAULT, role_per_field=True, multi_region=on))
        for on in (False, True)
    )
    arn = "arn:${AWS::Partition}:kms:*:${AWS::AccountId}:key/${%s}"
    for key in ("DataKey", "TokenKey", "AuditKey", "ArchiveKey"):
        made = many["Resources"][key]["Properties"]
        assert made.pop("MultiRegion") is True
        of_sid = {each["Sid"]: each for each in made["KeyPolicy"]["Statement"]}
        for sid in ("AccountAdministers", "BreakGlassAlone"):
            for action in ("kms:ReplicateKey", "kms:UpdatePrimaryRegion"):
                of_sid[sid]["Action"].remove(action)
        named = json.dumps({"Fn::GetAtt": [key, "Arn"]})
        replicas = json.dumps({"Fn::Sub": arn % key})
        resources = json.dumps(many["Resources"])
        assert named not in resources
        assert replicas in resources
        many["Resources"] = json.loads(resources.replace(replicas, named))
    assert many == one


def test_names_of_the_template_are_of_one_field() -> None:
    """Fields whose names differ in `_` alone have different names in the template, which has no `_`."""
    names = ("ab", "a_b", "a__b", "a_b_", "a_1", "a1", "a_z1", "az1", "az_1", "device_id")
    made = [OwnRole(name).id for name in names]
    assert len(set(made)) == len({OwnRole(name).dashed for name in names}) == len(names)
    assert all(re.fullmatch("[A-Z][A-Za-z0-9]*", each) for each in made)
    assert made[-1] == "DeviceId"


def test_each_queue_that_an_event_names_is_made() -> None:
    """With its dead-letter queue and its policy; ingest drains all of them, and audit watches them."""
    login = DEFAULT.events[0]
    names = ("sign-ups", "sign_ups", "orders.fifo", None, "sign-ups", "q" * 80)
    events = tuple(
        dataclasses.replace(login, name=EventName(f"e{at}"), queue=queue)
        for at, queue in enumerate(names)
    )
    retired = dataclasses.replace(login, name=EventName("old"), queue="old", retired=True)
    template = Template.load(dataclasses.replace(DEFAULT, events=(*events, retired)))
    made = {
        template.properties(queue)["QueueName"]: template.properties(dead)["QueueName"]
        for queue, dead in template.queues()
    }
    *short, long = made.items()
    assert short == [
        ("sign-ups", "sign-ups-dead"),
        ("sign_ups", "sign_ups-dead"),
        ("orders.fifo", "orders-dead.fifo"),
        ("vault-etl-logins", "vault-etl-logins-dead"),
    ]
    assert (len(long[1]), long[1].endswith("-dead")) == (80, True)
    ids = [each for pair in template.queues() for each in pair]
    assert len(set(ids)) == 2 * len(made)
    policies = [
        template.properties(name)["Queues"]
        for name, resource in template._resources.items()
        if resource["Type"] == "AWS::SQS::QueuePolicy"
    ]
    assert policies == [[{"Ref": queue}, {"Ref": dead}] for queue, dead in template.queues()]
    for policy, sid in (("IngestPolicy", "DrainQueues"), ("AuditPolicy", "WatchQueues")):
        statements = template.properties(policy)["PolicyDocument"]["Statement"]
        (drain,) = (each for each in statements if each["Sid"] == sid)
        assert drain["Resource"] == [{"Fn::GetAtt": [each, "Arn"]} for each in ids]
    fifo = {name: template.properties(name).get("FifoQueue") for name in ids}
    assert [name for name, is_fifo in fifo.items() if is_fifo] == ids[4:6]
    assert Template.load(DEFAULT).queues() == [("LoginQueue", "DeadLetterQueue")]


def test_a_field_that_yaml_takes_for_a_truth_value() -> None:
    """The field `no` is text in every policy."""
    field = dataclasses.replace(DEFAULT.fields[0], name=FieldName("no"))
    template = Template.load(dataclasses.replace(DEFAULT, fields=(field,)), role_per_field=True)
    for statement in template.properties("RevealNoPolicy")["PolicyDocument"]["Statement"]:
        assert statement["Condition"]["StringEquals"]["kms:EncryptionContext:field"] == "no"


def test_the_default_fits_a_call_of_cloudformation() -> None:
    """The template of the default declaration needs no bucket: with roles of fields, with the lake, with neither."""
    for options in ({}, {"role_per_field": True}, {"lake": True}):
        assert len(iam_template(DEFAULT, **options).encode()) <= MAX_INLINE


def test_the_largest_declaration_fits_the_quotas_of_aws() -> None:
    """A declaration at its limits, with every rule and a role for each field, exceeds no default quota."""
    assert len(iam_template(LARGEST, role_per_field=True).encode()) <= 1_000_000
    template = Template.load(LARGEST, role_per_field=True, lake=True, **EVERY_RULE)
    assert len(template._resources) <= 500
    sizes = {
        kind: [size for name in template._resources for size in _sizes(template, name, kind)]
        for kind in LONGEST
    }
    assert all(max(sizes[kind]) <= LONGEST[kind] for kind in LONGEST), sizes
    assert len(sizes["AssumeRolePolicyDocument"]) == len(IAM_ROLES) + MAX_FIELDS


EVERY_RULE: Final = {
    "WorkloadVpcs": "vpc-0123456789abcdef0",
    "Producers": "arn:aws:iam::111122223333:role/web",
    "DatabaseResource": "cluster-ABCDEFGHIJKL01234",
    "ArchiveBucket": "b" * 63,
}
LONGEST: Final = {
    "KeyPolicy": 32_768,
    "PolicyDocument": 6_144,
    "AssumeRolePolicyDocument": 2_048,
    "ManagedPolicyArns": 10,
}
"""The quotas of AWS: characters of a policy, which does not count spaces, and managed policies of a role."""


def _sizes(template: Template, name: str, kind: str) -> list[int]:
    """The size of a policy, or the number of policies, of a resource that has such a property."""
    value = template.properties(name).get(kind)
    if value is None:
        return []
    if kind == "ManagedPolicyArns":
        return [len(value)]
    arns = {
        f"{each}.Arn": f"arn:aws:kms:eu-central-1:111122223333:{'0' * (80 if 'Queue' in each else 40)}"
        for each in template._resources
    }
    account = {"AWS::Partition": "aws", "AWS::Region": "eu-central-1", "AWS::AccountId": "1" * 12}
    resolved = resolve(
        value, {**template.parameters, **account, **arns, **dict.fromkeys(template._resources, "")}
    )
    return [len(json.dumps(resolved, separators=(",", ":")))]


def test_the_template_uses_long_form_intrinsics() -> None:
    """Any YAML reader loads the template: it has no tags of CloudFormation."""
    text = iam_template(WIDER, role_per_field=True)
    assert "Resources" in yaml.safe_load(text)
    assert "!Sub" not in text
