"""The module of deploy/terraform as a parser of HCL reads it. No provider of AWS was there to validate it with."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import hcl2

FOLDER: Final = Path(__file__).parents[3] / "deploy"


def read(name: str) -> dict[str, Any]:
    """Parse one file of the module. Raises an error of the parser."""
    with (FOLDER / "terraform" / name).open(encoding="utf-8") as file:
        parsed: dict[str, Any] = hcl2.load(file)
    return parsed


def test_the_module_makes_one_stack_of_the_uploaded_templates() -> None:
    """It makes objects in a bucket and a stack, and repeats no resource of the templates."""
    kinds = [kind.strip('"') for block in read("main.tf")["resource"] for kind in block]
    assert kinds == ["aws_s3_object", "aws_cloudformation_stack"]
    for name in ("versions.tf", "variables.tf", "outputs.tf"):
        assert read(name)


def test_each_nested_template_is_on_a_line_that_the_module_rewrites() -> None:
    """It replaces lines of six spaces, `TemplateURL: ` and a name of a file."""
    root = (FOLDER / "aws" / "stack.yaml").read_text(encoding="utf-8")
    lines = [line for line in root.splitlines() if "TemplateURL" in line]
    assert len(lines) == root.count("AWS::CloudFormation::Stack")
    assert all(re.fullmatch(r" {6}TemplateURL: [a-z.-]+\.yaml", line) for line in lines)
