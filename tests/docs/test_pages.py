"""The pages name only files, headings, commands and make targets that exist."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

from docs.generate_cli import helps
from vault_etl.local.demo_scene import LOGINS

REPOSITORY: Final = Path(__file__).parents[2]
PAGES: Final = sorted(
    [
        *REPOSITORY.glob("*.md"),
        *(REPOSITORY / "docs").rglob("*.md"),
        *(REPOSITORY / "keys").glob("*.md"),
        *(REPOSITORY / "migrations").glob("*.md"),
    ]
)

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))


def _prose(page: Path) -> str:
    """The page without its fences."""
    return re.sub(
        r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL
    )


def _anchors(page: Path) -> set[str]:
    """The headings of a page, as GitHub makes anchors of them."""
    headings = re.findall(r"^#+ (.+)$", _prose(page), re.MULTILINE)
    kept = (re.sub(r"[^\w\s-]", "", heading.lower()) for heading in headings)
    return {heading.replace(" ", "-") for heading in kept}


@pages
def test_every_link_has_a_target(page: Path) -> None:
    """Each relative link names a file of the repository, and its anchor a heading of that file."""
    for link in re.findall(r"\]\(([^)\s]+)\)", _prose(page)):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in _anchors(target), link


@pages
def test_every_command_on_a_page_exists(page: Path) -> None:
    """No page has `vault-etl …` with an unknown command, or with an option that the command lacks."""
    text, commands = page.read_text(encoding="utf-8"), helps()
    for line in re.findall(r"vault-etl ((?:[a-z][a-z-]+ )?[a-z][a-z-]+(?: [^`\n|]*)?)", text):
        words = line.split()
        name = next(
            (
                " ".join(("vault-etl", *words[:length]))
                for length in (2, 1)
                if " ".join(("vault-etl", *words[:length])) in commands
            ),
            None,
        )
        if name is None:
            continue  # prose: "vault-etl is built today"
        for option in re.findall(r"(?<= )--[a-z-]+", f" {line}".split("#")[0]):
            assert f"{option}" in commands[name], f"{name} {option}"
    for name in re.findall(r"`(?:\.venv/bin/)?vault-etl ([a-z-]+)", text):
        assert f"vault-etl {name}" in commands, name


@pages
def test_every_make_target_on_a_page_exists(page: Path) -> None:
    """`make …` on a page is a target of the Makefile."""
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    named = re.findall(
        r"(?:`|^|\$ )make ([a-z][a-z-]*)", page.read_text(encoding="utf-8"), re.MULTILINE
    )
    assert set(named) <= targets


def test_the_repository_names_what_the_readme_needs() -> None:
    """docker-compose.yml, the template and the embedded stack's page are where the README says."""
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    assert "docker compose up" in readme
    assert "keys/vault-etl.template.yaml.jinja" in readme
    assert (REPOSITORY / "docker-compose.yml").exists()
    assert (REPOSITORY / "keys" / "vault-etl.template.yaml.jinja").exists()


@pages
def test_every_test_that_a_page_names_exists(page: Path) -> None:
    """A page that says which test holds a claim names a file that exists."""
    for name in re.findall(r"`(tests/[\w/.-]+)`", page.read_text(encoding="utf-8")):
        assert (REPOSITORY / name).exists(), name


@pytest.mark.parametrize(
    "file",
    sorted((REPOSITORY / "tests" / "data" / "migrations").iterdir()),
    ids=lambda file: file.name,
)
def test_the_example_of_an_online_migration_is_the_one_that_is_run(file: Path) -> None:
    """CONTRIBUTING has each file of tests/data/migrations, which `tests/schema/test_online.py` runs."""
    page = (REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert f"```sql\n{file.read_text(encoding='utf-8')}```\n" in page


def test_the_demo_page_and_the_readme_show_what_the_demo_does() -> None:
    """Each title of the demo is on the page, in its order; the README's commands are on it too."""
    demo = (REPOSITORY / "vault_etl" / "cli" / "demo.py").read_text(encoding="utf-8")
    page = (REPOSITORY / "docs" / "demo.md").read_text(encoding="utf-8")
    titles = re.findall(r'told\.title\(f?"([^"]+)"\)', demo)[1:]
    assert len(titles) > 5
    shown = [title.format(scene=LOGINS) for title in titles]
    of_the_shop = shown.pop(1)
    assert re.findall(r"^── (.+?) ─*$", page, re.MULTILINE) == [*shown, of_the_shop]
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    commands = re.findall(r"^[a-z-]+\$ vault-etl (\w+)", readme, re.MULTILINE)
    assert commands == ["ingest", "duplicates", "reveal"]
    assert all(f"$ vault-etl {command}" in page for command in commands)
