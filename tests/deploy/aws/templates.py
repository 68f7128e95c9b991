"""The templates of deploy/aws, with the printed template of keys beside them, and what their root says of each."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from tests.kit.declarations import DEFAULT
from vault_etl.declaration.iam import iam_template

FOLDER: Final = Path(__file__).parents[3] / "deploy" / "aws"
KEYS: Final = "vault-etl.template.yaml"
"""The name by which the root nests what `vault-etl schema iam` prints."""

GIVEN: Final = {
    "ImageDigest": f"sha256:{'0' * 64}",
    "Email": "ops@example.com",
    "DatabaseIsSetUp": "yes",
}
"""Parameters of the root without a default, and the second step of a deployment."""


def laid_out(place: Path) -> list[Path]:
    """Copy the templates to a folder, as a deployment has them, and return their paths."""
    for template in FOLDER.glob("*.yaml"):
        shutil.copy(template, place)
    (place / KEYS).write_text(iam_template(DEFAULT), encoding="utf-8")
    return sorted(place.glob("*.yaml"))


def read(name: str) -> dict[str, Any]:
    """Read one template of the folder, or that of the keys."""
    text = iam_template(DEFAULT) if name == KEYS else (FOLDER / name).read_text(encoding="utf-8")
    template: dict[str, Any] = yaml.safe_load(text)
    return template


class Root:
    """The root template: its nested stacks, and the parameters of each once those before it have outputs."""

    def __init__(self, given: Mapping[str, str]) -> None:
        self._template = read("stack.yaml")
        declared = self._template["Parameters"].items()
        self._names: dict[str, Any] = {name: each.get("Default") for name, each in declared}
        self._names |= given

    @property
    def nested(self) -> dict[str, str]:
        """The name of each nested stack, and the file of its template."""
        stacks = self._template["Resources"].items()
        return {name: stack["Properties"]["TemplateURL"] for name, stack in stacks}

    def parameters(self, nested: str) -> dict[str, str]:
        """Resolve the parameters of a nested stack. Raises KeyError for an output that is not known yet."""
        properties = self._template["Resources"][nested]["Properties"]
        return {
            name: str(self._resolve(each))
            for name, each in properties.get("Parameters", {}).items()
        }

    def made(self, nested: str, outputs: Mapping[str, str]) -> None:
        """Take the outputs of a nested stack."""
        self._names |= {f"{nested}.Outputs.{name}": value for name, value in outputs.items()}

    def _resolve(self, value: Any) -> Any:  # noqa: ANN401 - any YAML
        if isinstance(value, list):
            return [self._resolve(each) for each in value]
        if not isinstance(value, dict):
            return value
        ((function, argument),) = value.items()
        functions: dict[str, Callable[[], Any]] = {
            "Ref": lambda: self._names[argument],
            "Fn::GetAtt": lambda: self._names[".".join(argument)],
            "Fn::Sub": lambda: self._substituted(argument),
            "Fn::Select": lambda: self._resolve(argument[1])[argument[0]],
            "Fn::Split": lambda: self._resolve(argument[1]).split(argument[0]),
            "Fn::Join": lambda: self._joined(*argument),
            "Fn::If": lambda: self._resolve(argument[1 if self._holds(argument[0]) else 2]),
        }
        return functions[function]()

    def _joined(self, delimiter: str, values: Any) -> str:  # noqa: ANN401 - any YAML
        """A list of texts; a parameter that is a list is a text with commas already."""
        joined = self._resolve(values)
        return joined if isinstance(joined, str) else delimiter.join(joined)

    def _substituted(self, text: str) -> str:
        first, *parts = text.split("${")
        names = (part.split("}", 1) for part in parts)
        return first + "".join(self._names[name] + rest for name, rest in names)

    def _holds(self, name: str) -> bool:
        return self._decide(self._template["Conditions"][name])

    def _decide(self, condition: dict[str, Any]) -> bool:
        ((function, argument),) = condition.items()
        if function == "Fn::Equals":
            left, right = self._resolve(argument)
            return bool(left == right)
        functions: dict[str, Callable[[], bool]] = {
            "Condition": lambda: self._holds(argument),
            "Fn::And": lambda: all(map(self._decide, argument)),
            "Fn::Not": lambda: not self._decide(argument[0]),
        }
        return functions[function]()


def jobs() -> dict[str, Any]:
    """The parameters of each scheduled command, unresolved."""
    return {
        name: stack["Properties"]["Parameters"]
        for name, stack in read("stack.yaml")["Resources"].items()
        if stack["Properties"]["TemplateURL"] == "job.yaml"
    }
