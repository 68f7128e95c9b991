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
from vault_etl.crypto.fields import FieldName
from vault_etl.declaration.iam import MAX_INLINE, OwnRole, iam_template
from vault_etl.declaration.model import Declaration
from vault_etl.declaration.rules import MAX_FIELDS
from vault_etl.local.template import IAM_ROLES, Template, resolve

LARGEST: Final = dataclasses.replace(
    DEFAULT,
    fields=tuple(
        dataclasses.replace(DEFAULT.fields[0], name=FieldName(f"f{number:_>30}"))
        for number in range(MAX_FIELDS)
    ),
)
"""As many fields as a declaration may have, with the longest names, and as many `_` as the template's names double."""


@pytest.mark.command
@pytest.mark.parametrize("each", [DEFAULT, LARGEST], ids=["default", "largest"])
def test_cfn_lint_accepts_the_template(each: Declaration, tmp_path: Path) -> None:
    """CloudFormation's own linter has no finding, not even an information."""
    path = tmp_path / "vault-etl.template.yaml"
    path.write_text(iam_template(each, role_per_field=each is LARGEST), encoding="utf-8")
    command = [
        str(Path(sys.executable).parent / "cfn-lint"),
        "--include-checks",
        "I",
        "--",
        str(path),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_roles_of_fields_are_an_option() -> None:
    """Without it, there is no role of a field, and no key's policy names one."""
    assert "reveal-ip" in iam_template(DEFAULT, role_per_field=True)
    assert not re.search("reveal-(ip|device)", iam_template(DEFAULT))


def test_names_of_the_template_are_of_one_field() -> None:
    """Fields whose names differ in `_` alone have different names in the template, which has no `_`."""
    names = ("ab", "a_b", "a__b", "a_b_", "a_1", "a1", "a_z1", "az1", "az_1", "device_id")
    made = [OwnRole(name).id for name in names]
    assert len(set(made)) == len({OwnRole(name).dashed for name in names}) == len(names)
    assert all(re.fullmatch("[A-Z][A-Za-z0-9]*", each) for each in made)
    assert made[-1] == "DeviceId"


def test_a_field_that_yaml_takes_for_a_truth_value() -> None:
    """The field `no` is text in every policy."""
    field = dataclasses.replace(DEFAULT.fields[0], name=FieldName("no"))
    template = Template.load(dataclasses.replace(DEFAULT, fields=(field,)), role_per_field=True)
    for statement in template.properties("RevealNoPolicy")["PolicyDocument"]["Statement"]:
        assert statement["Condition"]["StringEquals"]["kms:EncryptionContext:field"] == "no"


def test_the_default_fits_a_call_of_cloudformation() -> None:
    """The template of the default declaration needs no bucket, with roles of fields and without."""
    for role_per_field in (True, False):
        assert len(iam_template(DEFAULT, role_per_field=role_per_field).encode()) <= MAX_INLINE


def test_the_largest_declaration_fits_the_quotas_of_aws() -> None:
    """A declaration at its limits, with every rule and a role for each field, exceeds no default quota."""
    assert len(iam_template(LARGEST, role_per_field=True).encode()) <= 1_000_000
    template = Template.load(LARGEST, role_per_field=True, **EVERY_RULE)
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
        f"{each}.Arn": f"arn:aws:kms:eu-central-1:111122223333:key/{'0' * 36}"
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
