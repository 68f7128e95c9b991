"""Hooks of mkdocs: pages from elsewhere in the repository, the list of decisions, and links to source files.

A page of docs/ links to `../keys/README.md` or `../vault_etl/…`, which is right on GitHub and in an editor. On the
site the first is a page of its own and the second is not there: it becomes its name, as code.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any, Final

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

REPOSITORY: Final = Path(__file__).resolve().parents[1]
PAGES: Final = {
    "CHANGELOG.md": "repository/changelog.md",
    "CONTRIBUTING.md": "repository/contributing.md",
    "README.md": "index.md",
    "SECURITY.md": "repository/security.md",
    "keys/README.md": "repository/keys.md",
    "migrations/README.md": "repository/schema.md",
}
"""A page of the repository, and its place on the site. The README's readers land on the first page."""

_LINK: Final = re.compile(r"\[([^\]]*)\]\(([^)\s]+)\)")
_FENCE: Final = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """List every decision under its title."""
    for section in config.nav or []:
        if "Decisions" in section:
            section["Decisions"] = [
                {_title(page): f"adr/{page.name}"}
                for page in sorted((REPOSITORY / "docs" / "adr").glob("*.md"))
            ]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages of the repository that are not in docs/."""
    for source, page in PAGES.items():
        if page.startswith("repository/"):
            text = (REPOSITORY / source).read_text(encoding="utf-8")
            files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, *, page: Any, **_: object) -> str:  # noqa: ANN401  # mkdocs' own Page
    """Rewrite the links that leave docs/."""
    here = page.file.src_uri
    origin = {place: source for source, place in PAGES.items() if place != "index.md"}.get(
        here, f"docs/{here}"
    )
    parts = _FENCE.split(markdown)
    return "".join(
        part if part.startswith("```") else _LINK.sub(lambda link: _there(link, here, origin), part)
        for part in parts
    )


def _there(link: re.Match[str], here: str, origin: str) -> str:
    text, target = link.groups()
    path, hash_sign, anchor = target.partition("#")
    if "://" in target or not path:
        return link[0]
    file = posixpath.normpath(posixpath.join(posixpath.dirname(origin), path))
    if file in PAGES:
        place = PAGES[file]
    elif file.startswith("docs/") and (REPOSITORY / file).is_file() and not file.endswith(".py"):
        place = file.removeprefix("docs/")
    elif (REPOSITORY / file).exists():
        return text if "`" in text else f"`{file}`"
    else:
        return link[0]  # a dead link: mkdocs says so
    return (
        f"[{text}]({posixpath.relpath(place, posixpath.dirname(here) or '.')}{hash_sign}{anchor})"
    )


def _title(page: Path) -> str:
    return page.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")
