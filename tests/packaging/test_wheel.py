"""The released wheel, in an empty environment, is all that a production machine needs."""

import email.parser
import filecmp
import json
import re
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

import vault_etl

REPOSITORY = Path(__file__).resolve().parents[2]
RUNTIME_LOCK = REPOSITORY / "requirements" / "runtime.txt"
SAMPLES = REPOSITORY / "tests" / "data" / "login-events.jsonl"

# Building, and installing 30 locked packages, takes about 20 s on two busy cores.
pytestmark = [pytest.mark.command, pytest.mark.timeout(600)]


def _built(folder: Path, *options: str) -> Path:
    """Build with the locked build tools, and return the wheel."""
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), *options]
    subprocess.run([*build, str(REPOSITORY)], check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel as `make dist` builds it: from the sources that are released."""
    return _built(tmp_path_factory.mktemp("dist"))


def test_the_released_sources_make_the_wheel_of_the_checkout(wheel: Path, tmp_path: Path) -> None:
    """Byte for byte: a wheel that a user builds from the sources is the one that was tested."""
    assert filecmp.cmp(wheel, _built(tmp_path, "--wheel"), shallow=False)


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` folder of a new environment that has the runtime lock and the wheel, no more."""
    folder = tmp_path_factory.mktemp("empty")
    venv.create(folder)
    pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python")]
    # Compiled when imported: most of the packages' modules are not.
    install = [*pip, "install", "--quiet", "--no-compile"]
    subprocess.run([*install, "--require-hashes", "-r", str(RUNTIME_LOCK)], check=True)
    subprocess.run([*install, "--no-deps", "--no-index", str(wheel)], check=True)
    return folder / "bin"


def _run(program: Path, *arguments: str, cwd: Path) -> str:
    """Return what a program prints, started in `cwd` with an empty environment. Its errors are ours."""
    done = subprocess.run(
        [str(program), *arguments],
        cwd=cwd,
        env={},
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_version(installed: Path, tmp_path: Path) -> None:
    """The installed command says its version, from any folder and without an environment."""
    printed = _run(installed / "vault-etl", "--version", cwd=tmp_path)
    assert vault_etl.__version__ in printed.split()


def test_help(installed: Path, tmp_path: Path) -> None:
    """The installed command lists its commands without the embedded stack's packages."""
    printed = _run(installed / "vault-etl", "--help", cwd=tmp_path)
    assert {"ingest", "reveal", "migrate"} <= set(re.findall(r"[a-z-]+", printed))


def test_the_default_declaration_is_inside_the_package(installed: Path, tmp_path: Path) -> None:
    """The installed command shows the default declaration without a setting and without a checkout."""
    (shown,) = map(
        json.loads, _run(installed / "vault-etl", "schema", "show", cwd=tmp_path).splitlines()
    )
    assert shown["document"]["events"].keys() == {"user_logins"}
    template = _run(installed / "vault-etl", "schema", "iam", "--role-per-field", cwd=tmp_path)
    assert "RoleName: vault-etl-reveal-device-id" in template


def test_a_file_is_counted_without_a_database(installed: Path, tmp_path: Path) -> None:
    """The dry run of the samples parses every event, outside the checkout and without an environment."""
    dry_run = ("ingest", "--file", str(SAMPLES), "--dry-run", "--quiet")
    counted = json.loads(_run(installed / "vault-etl", *dry_run, cwd=tmp_path))
    assert (counted["records"], counted["events"], counted["quarantined"]) == (100, 99, 1)
    assert [each["reason_code"] for each in counted["reasons"]] == ["field_missing"]


def test_resources_are_inside_the_package(installed: Path, tmp_path: Path) -> None:
    """Migrations and the key template are found beside the installed code, not in a checkout."""
    script = """
import json, pathlib, vault_etl
from vault_etl.platform.resources import resource_dir
package = pathlib.Path(vault_etl.__file__).parent
print(json.dumps([
    sorted(path.name for path in resource_dir("migrations").rglob("*.*")),
    sorted(path.name for path in resource_dir("keys").rglob("*.jinja")),
    all(resource_dir(name).is_relative_to(package.resolve()) for name in ("keys", "migrations")),
]))
"""
    printed = _run(installed / "python", "-c", script, cwd=tmp_path)
    migrations, templates, inside = json.loads(printed)
    assert migrations == sorted(path.name for path in (REPOSITORY / "migrations").rglob("*.*"))
    assert migrations
    assert templates == sorted(path.name for path in (REPOSITORY / "keys").rglob("*.jinja"))
    assert "vault-etl.template.yaml.jinja" in templates
    assert inside


def test_the_wheel_holds_one_package_only(wheel: Path) -> None:
    """The wheel installs one package and no tests, and production pulls in no emulator."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (metadata,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        fields = email.parser.Parser().parsestr(archive.read(metadata).decode())
    assert {name.split("/")[0].split("-")[0] for name in names} == {"vault_etl"}
    always = [line for line in fields.get_all("Requires-Dist", []) if "extra ==" not in line]
    assert not [
        line for line in always if re.match(r"moto|flask|pixeltable|pyarrow|opentelemetry", line)
    ]


def test_the_runtime_lock_is_what_dev_was_tested_with() -> None:
    """Every pin of the lock that production installs is in the lock that the tests ran with."""
    pins = {
        name: set(re.findall(r"^([\w.-]+==\S+)", path.read_text(), flags=re.MULTILINE))
        for name, path in ((p.stem, p) for p in RUNTIME_LOCK.parent.glob("*.txt"))
    }
    assert pins["runtime"] <= pins["demo"] <= pins["dev"]
    assert pins["runtime"] <= pins["arrow"] <= pins["dev"]
    (added,) = pins["arrow"] - pins["runtime"]
    assert added.startswith("pyarrow==")
    assert pins["runtime"] <= pins["traces"] <= pins["dev"]


def test_no_lock_names_an_address() -> None:
    """Lock files hold names, versions and hashes; whence is the machine's matter."""
    for lock in RUNTIME_LOCK.parent.glob("*.txt"):
        assert "://" not in lock.read_text()
        assert not re.search(r"^\s*--(?!hash=)", lock.read_text(), flags=re.MULTILINE)
