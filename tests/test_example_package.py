"""The packages in ``examples/``: each is built and installed as a stranger's would be, and passes its own tests."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest

import envelope_sdk

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
PACKAGES = sorted(path.parent for path in EXAMPLES.glob("*/pyproject.toml"))
UNDER_TEST = Path(envelope_sdk.__file__).parents[1]

HAS_REGISTRY = find_spec("envelope_sdk.keyrings.registry") is not None

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("build")]


@dataclass(frozen=True)
class Installed:
    """A package, built and installed into a folder of its own.

    Attributes:
        tree: a copy of the package's folder, without its sources.
        site: where it is installed.
    """

    tree: Path
    site: Path

    def run(self, *command: str | Path) -> str:
        """Run Python with the package and the one under test, and return what it prints."""
        return run(*command, path=[self.site, UNDER_TEST], cwd=self.tree)


def run(*command: str | Path, path: list[Path], cwd: Path) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    environment |= {"PYTHONPATH": os.pathsep.join(map(str, path)), "PYTHONSAFEPATH": "1"}
    done = subprocess.run(
        [sys.executable, *map(str, command)], capture_output=True, text=True, env=environment, cwd=cwd, check=False
    )
    assert done.returncode == 0, f"{command} failed:\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module", params=PACKAGES, ids=lambda path: path.name)
def installed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    folder = tmp_path_factory.mktemp("example")
    tree, site = folder / "tree", folder / "site"
    shutil.copytree(request.param, tree, ignore=shutil.ignore_patterns("build", "*.egg-info", "__pycache__", ".*"))
    options = ["--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--disable-pip-version-check"]
    run("-m", "pip", "install", *options, "--target", site, tree, path=[], cwd=folder)
    # Only what was installed is there to be imported.
    shutil.rmtree(tree / "src")
    return Installed(tree, site)


def test_there_are_examples():
    assert PACKAGES


def test_its_own_tests_pass(installed: Installed):
    printed = installed.run("-m", "pytest", "-q", "-p", "no:cacheprovider")

    assert " passed" in printed
    assert not HAS_REGISTRY or "SKIPPED" not in printed


def test_it_is_typed(installed: Installed):
    packages = [path for path in installed.site.iterdir() if (path / "__init__.py").exists()]

    assert packages
    assert all((path / "py.typed").exists() for path in packages)


@pytest.mark.skipif(not HAS_REGISTRY, reason="keyrings cannot be opened by URI yet")
def test_its_scheme_is_known_to_the_registry(installed: Installed):
    program = """
from importlib.metadata import entry_points
from envelope_sdk.errors import EnvelopeError
from envelope_sdk.keyrings.registry import keyring_from_uri

for point in entry_points(group="envelope_sdk.keyrings"):
    try:
        keyring_from_uri(f"{point.name}://nowhere?no-such-parameter=1")
    except EnvelopeError as error:
        print(point.name, "no-such-parameter" in str(error))
"""

    assert installed.run("-c", program).split("\n") == ["vault-transit True", ""]
