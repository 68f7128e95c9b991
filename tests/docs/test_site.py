"""The site of mkdocs.yml: it is built strictly, names every page, and asks no other host for anything."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

REPOSITORY = Path(__file__).parents[2]
PICTURES = sorted((REPOSITORY / "docs" / "pictures").glob("*.svg"))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site. A dead link, a dead anchor or a page outside the navigation fails the build."""
    folder = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", folder],
        cwd=REPOSITORY,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert not built.returncode, built.stdout + built.stderr
    return folder


@pytest.mark.command
def test_the_site_asks_no_other_host_for_anything(site: Path) -> None:
    """Scripts, styles, fonts and pictures come from the site itself."""
    loaded = re.compile(r"<(?:script|img|iframe|source)[^>]* src=\"?([^\" >]+)|<link[^>]*>")
    for page in site.rglob("*.html"):
        for found in loaded.finditer(page.read_text(encoding="utf-8")):
            assert "//" not in found[0], (page.name, found[0])


@pytest.mark.command
def test_the_site_has_the_pages_of_the_whole_repository(site: Path) -> None:
    """A page beside docs/ is a page of the site, and a link to a source file became its name."""
    assert (site / "repository" / "keys.html").is_file()
    design = (site / "design.html").read_text(encoding="utf-8")
    assert 'href="repository/keys.html"' in design
    assert "vault_etl/base/errors.py" not in re.findall(r'href="([^"]*)"', design)


@pytest.mark.parametrize("picture", PICTURES, ids=lambda picture: picture.stem)
def test_each_picture_is_whole_and_says_what_it_shows(picture: Path) -> None:
    """An SVG with a title, whose boxes and texts lie inside it, and which no page has forgotten."""
    root = ET.fromstring(picture.read_text(encoding="utf-8"))  # noqa: S314  # our own file
    space = "{http://www.w3.org/2000/svg}"
    width, height = (float(root.attrib[side]) for side in ("width", "height"))
    assert root.findtext(f"{space}title")
    for box in root.iter(f"{space}rect"):
        assert float(box.attrib["x"]) + float(box.attrib["width"]) <= width
        assert float(box.attrib["y"]) + float(box.attrib["height"]) <= height
    for text in root.iter(f"{space}text"):
        assert 0 < float(text.attrib["x"]) < width
        assert 0 < float(text.attrib["y"]) < height
    pages = [
        page
        for folder in ("", "migrations", "docs/**")
        for page in REPOSITORY.glob(f"{folder}/*.md".lstrip("/"))
    ]
    assert any(f"pictures/{picture.name})" in page.read_text(encoding="utf-8") for page in pages)
