"""What gets published: the packages that pyproject.toml names, the two links, and the wheel out of the sdist."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).resolve().parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
DIRECTORIES: dict[str, str] = PYPROJECT["tool"]["setuptools"]["package-dir"]
LINKS = {"envelope_sdk/formats": "../formats", "envelope_sdk/keyrings": "../keyrings"}

slow_build = [pytest.mark.slow, pytest.mark.xdist_group("build")]


def run(*command: str | Path, path: Sequence[Path] = (), cwd: Path | None = None) -> str:
    """Run a command with ``path`` as its only PYTHONPATH, unmeasured, and return what it prints."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    environment |= {"PYTHONPATH": os.pathsep.join(map(str, path)), "PYTHONSAFEPATH": "1"}
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, env=environment, cwd=cwd)
    assert done.returncode == 0, f"{command} failed:\n{done.stdout}{done.stderr}"
    return done.stdout


def modules_on_disk(root: Path) -> dict[str, Path]:
    """Return every module by the path it is installed under. Links are not followed."""
    return {
        (PurePosixPath(package.replace(".", "/")) / path.relative_to(root / directory).as_posix()).as_posix(): path
        for package, directory in DIRECTORIES.items()
        for path in (root / directory).rglob("*.py")
    }


def packages_on_disk(root: Path) -> set[str]:
    """Return the directories with Python modules in them, as packages."""
    return {PurePosixPath(module).parent.as_posix().replace("/", ".") for module in modules_on_disk(root)}


# --- the tree --------------------------------------------------------------------------------------------------------


def test_every_package_is_named() -> None:
    """A package that pyproject.toml does not name works in a checkout and is absent from the wheel."""
    named = PYPROJECT["tool"]["setuptools"]["packages"]

    assert packages_on_disk(ROOT) == set(named)
    assert len(named) == len(set(named))


def test_every_package_has_an_init() -> None:
    """No namespace packages: a stranger could add modules to one."""
    modules = modules_on_disk(ROOT)

    assert [
        package for package in packages_on_disk(ROOT) if f"{package.replace('.', '/')}/__init__.py" not in modules
    ] == []


@pytest.mark.parametrize(("link", "target"), LINKS.items())
def test_a_link_is_relative(link: str, target: str) -> None:
    """It leads from the package to the sibling folder, wherever the checkout lies."""
    path = ROOT / link

    assert path.is_symlink()
    assert path.readlink() == Path(target)
    assert (path / "__init__.py").is_file()


def test_the_links_are_committed_as_links() -> None:
    """Git knows them by mode 120000; a copied folder would drift from its origin."""
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("not a git checkout")
    listing = run("git", "-c", f"safe.directory={ROOT}", "ls-files", "--stage", "--", *LINKS, cwd=ROOT)

    assert {line.split("\t")[1]: line.split()[0] for line in listing.splitlines()} == dict.fromkeys(LINKS, "120000")


def test_our_keyrings_folder_leaves_the_namespace_open(tmp_path: Path) -> None:
    """With the root of a checkout on sys.path, ``keyrings.*`` packages from PyPI stay importable."""
    (tmp_path / "keyrings" / "elsewhere").mkdir(parents=True)
    (tmp_path / "keyrings" / "elsewhere" / "__init__.py").write_text("WHERE = 'elsewhere'\n")

    code = "import keyrings, keyrings.elsewhere as other; print(keyrings.__file__, other.WHERE)"
    origin, where = run(sys.executable, "-c", code, path=[ROOT, tmp_path]).split()

    assert Path(origin) == ROOT / "keyrings" / "__init__.py"
    assert where == "elsewhere"


# --- the wheel -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Built:
    """What came out of a build.

    Attributes:
        tree: the copy of the checkout it was made from.
        sdist: the source distribution.
        wheel: made from that source distribution, not from the tree.
    """

    tree: Path
    sdist: Path
    wheel: Path

    def wheel_names(self) -> set[str]:
        """Return the files in the wheel."""
        with zipfile.ZipFile(self.wheel) as archive:
            return {name for name in archive.namelist() if not name.endswith("/")}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Build the sdist from a copy of the checkout, and the wheel from the sdist."""
    directory = tmp_path_factory.mktemp("build")
    tree = directory / "tree"
    ignore = shutil.ignore_patterns(".*", "build", "dist", "*.egg-info", "__pycache__", "vectors")
    shutil.copytree(ROOT, tree, symlinks=True, ignore=ignore)
    stale = tree / "build" / "lib" / "envelope_sdk" / "deleted.py"  # setuptools would put this into a wheel of the tree
    stale.parent.mkdir(parents=True)
    stale.touch()
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", directory / "dist", tree, cwd=directory)
    (sdist,) = (directory / "dist").glob("*.tar.gz")
    (wheel,) = (directory / "dist").glob("*.whl")
    return Built(tree, sdist, wheel)


@pytest.fixture(scope="module")
def installed(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel by itself into a directory of its own."""
    target = tmp_path_factory.mktemp("installed")
    run(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", target, built.wheel)
    return target


class TestWheel:
    """The wheel, made the way it is made for publishing."""

    pytestmark = slow_build

    def test_holds_every_module(self, built: Built) -> None:
        """Neither more nor fewer than the tree, whatever an earlier build has left behind."""
        in_wheel = {name for name in built.wheel_names() if name.endswith(".py")}

        assert in_wheel == set(modules_on_disk(built.tree))

    def test_holds_modules_unchanged(self, built: Built) -> None:
        """Byte for byte what the tree holds."""
        with zipfile.ZipFile(built.wheel) as archive:
            changed = [
                name for name, path in modules_on_disk(built.tree).items() if archive.read(name) != path.read_bytes()
            ]

        assert changed == []

    def test_holds_what_goes_with_the_code(self, built: Built) -> None:
        """Type information, licence and notice."""
        names = built.wheel_names()
        (info,) = {name.split("/")[0] for name in names if name.split("/")[0].endswith(".dist-info")}

        assert {"envelope_sdk/py.typed", f"{info}/licenses/LICENSE", f"{info}/licenses/NOTICE"} <= names

    def test_installs_one_name(self, built: Built, installed: Path) -> None:
        """``keyrings`` is a namespace on PyPI that others live in, and ``formats`` anybody's; tests stay at home."""
        top = {name.split("/")[0] for name in built.wheel_names()}
        installed_top = {path.name for path in installed.iterdir() if path.is_dir()} - {"bin"}

        assert {name for name in top if not name.endswith(".dist-info")} == {"envelope_sdk"}
        assert {name for name in installed_top if not name.endswith(".dist-info")} == {"envelope_sdk"}

    def test_imports_the_siblings_as_parts(self, installed: Path) -> None:
        """From the installed files, which hold real directories in place of the links."""
        code = "from envelope_sdk import formats, keyrings; print(formats.__file__); print(keyrings.__file__)"
        files = run(sys.executable, "-c", code, path=[installed]).split()

        expected = [installed / "envelope_sdk" / name / "__init__.py" for name in ("formats", "keyrings")]
        assert expected == [Path(file) for file in files]
        assert not any(stat.S_ISLNK((installed / link).lstat().st_mode) for link in LINKS)

    def test_declares_its_dependencies(self, built: Built) -> None:
        """The metadata says what pyproject.toml says."""
        with zipfile.ZipFile(built.wheel) as archive:
            (metadata,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
            lines = archive.read(metadata).decode("utf-8").splitlines()
        required = {line.removeprefix("Requires-Dist: ") for line in lines if line.startswith("Requires-Dist: ")}

        assert {line for line in required if "extra ==" not in line} == set(PYPROJECT["project"]["dependencies"])


@pytest.mark.slow
@pytest.mark.xdist_group("build")
def test_the_sdist_builds_without_the_links(built: Built) -> None:
    """It carries the sibling folders themselves, so a platform without links can build it."""
    with tarfile.open(built.sdist) as archive:
        members = archive.getmembers()
    names = {member.name.partition("/")[2] for member in members}

    assert not [member.name for member in members if member.issym() or member.islnk()]
    assert {"formats/__init__.py", "keyrings/__init__.py", "LICENSE", "NOTICE", "pyproject.toml"} <= names
