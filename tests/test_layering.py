"""The layers of the package, held by its imports.

Every import of every module counts: under ``TYPE_CHECKING``, inside functions, and ``import_module`` with a literal
name. The rules are applied to the sources of the checkout, and each rule is shown to bite on a small made-up tree.
"""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "envelope_sdk"

LAYERS: tuple[tuple[str, ...], ...] = (
    ("__main__",),
    ("cli", "integrations", "testing"),
    ("bench",),
    ("bulk",),
    ("client",),
    ("streams",),
    ("message",),
    ("managers",),
    ("keyrings",),
    ("cache",),
    ("materials",),
    ("policy",),
    ("primitives",),
    ("formats",),
    ("errors",),
)
"""From the outermost to the innermost. A part imports from lines below its own, and from itself."""

OUTERMOST = frozenset(LAYERS[1])
USE_LOCAL_KMS = OUTERMOST | {"bench"}
BESIDE = "local_kms"
BESIDE_IMPORTS = frozenset({"errors", "primitives"})
RANK = {part: rank for rank, parts in enumerate(LAYERS) for part in parts}

DRAWERS = frozenset({"util", "utils", "helper", "helpers", "common", "misc"})
"""Names that say nothing of what is inside."""


@dataclass(frozen=True)
class Import:
    """One imported name.

    Attributes:
        target: the module it comes from, as written.
        name: what is taken out of it; empty for a plain ``import``.
        line: where.
        level: leading dots.
        at_start: whether it runs when the module is imported.
    """

    target: str
    name: str
    line: int
    level: int
    at_start: bool


@dataclass(frozen=True)
class Module:
    """A module of the package, read but not run."""

    name: str
    imports: tuple[Import, ...] = field(repr=False)

    @property
    def part(self) -> str:
        """The name right below the package; empty for the package itself."""
        return part_of(self.name)


def part_of(name: str) -> str:
    """Return the part of the package that a dotted module name belongs to."""
    return name.partition(".")[2].partition(".")[0]


def package_directories(pyproject: Path) -> dict[str, Path]:
    """Return where each top-level folder of code is, by the name it is imported under."""
    mapping = tomllib.loads(pyproject.read_text("utf-8"))["tool"]["setuptools"]["package-dir"]
    return {name: pyproject.parent / directory for name, directory in mapping.items()}


def read_modules(directories: Mapping[str, Path]) -> dict[str, Module]:
    """Read every module below the directories. Links are not followed: each module is read once."""
    modules: dict[str, Module] = {}
    for package, directory in directories.items():
        for path in sorted(directory.rglob("*.py")):
            parts = [package, *path.relative_to(directory).with_suffix("").parts]
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            modules[name] = Module(name, tuple(imports_of(ast.parse(path.read_text("utf-8"), str(path)))))
    return modules


def imports_of(node: ast.AST, at_start: bool = True) -> Iterator[Import]:
    """Yield every import at or below ``node``."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield Import(alias.name, "", node.lineno, 0, at_start)
    elif isinstance(node, ast.ImportFrom):
        for alias in node.names:
            yield Import(node.module or "", alias.name, node.lineno, node.level, at_start)
    elif isinstance(node, ast.Call) and _is_import_call(node):
        target = node.args[0]
        assert isinstance(target, ast.Constant)
        yield Import(str(target.value), "", node.lineno, 0, at_start)
    elif isinstance(node, ast.If) and _is_type_checking(node.test):
        for statement in node.body:
            yield from imports_of(statement, at_start=False)
        for statement in node.orelse:
            yield from imports_of(statement, at_start)
        return
    inside = at_start and not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
    for child in ast.iter_child_nodes(node):
        yield from imports_of(child, inside)


def _is_import_call(call: ast.Call) -> bool:
    name = getattr(call.func, "attr", getattr(call.func, "id", ""))
    literal = bool(call.args) and isinstance(call.args[0], ast.Constant) and isinstance(call.args[0].value, str)
    return name in {"import_module", "__import__"} and literal


def _is_type_checking(test: ast.expr) -> bool:
    return getattr(test, "attr", getattr(test, "id", "")) == "TYPE_CHECKING"


def resolve(found: Import, modules: Mapping[str, Module]) -> str:
    """Return the module that an import reaches: a submodule where the name is one."""
    submodule = f"{found.target}.{found.name}"
    return submodule if submodule in modules else found.target


def own_imports(module: Module, modules: Mapping[str, Module]) -> Iterator[tuple[Import, str]]:
    """Yield the imports that stay inside the package, with the module each reaches."""
    for found in module.imports:
        target = resolve(found, modules)
        if target.partition(".")[0] == PACKAGE:
            yield found, target


def allowed(importer: str, imported: str) -> bool:
    """Whether a part may import another; the empty name is the package itself."""
    if importer in {imported, ""}:
        return True
    if imported == "":
        return importer in OUTERMOST or importer == "__main__"
    if imported == BESIDE:
        return importer in USE_LOCAL_KMS
    if importer == BESIDE:
        return imported in BESIDE_IMPORTS
    return RANK[importer] < RANK[imported]


def layer_violations(modules: Mapping[str, Module]) -> list[str]:
    """Return the imports that go up, or sideways."""
    return [
        f"{module.name}:{found.line} imports {target}, which is not below {module.part}"
        for module in modules.values()
        for found, target in own_imports(module, modules)
        if not allowed(module.part, part_of(target))
    ]


def eager_root_imports(modules: Mapping[str, Module]) -> list[str]:
    """Return the imports that make ``import envelope_sdk`` load more than itself."""
    root = modules[PACKAGE]
    return [f"{PACKAGE}:{found.line} imports {name}" for found, name in own_imports(root, modules) if found.at_start]


def name_violations(modules: Mapping[str, Module]) -> list[str]:
    """Return relative imports, and imports of the sibling folders by the name of their directory."""
    problems = []
    for module in modules.values():
        for found in module.imports:
            if found.level:
                problems.append(f"{module.name}:{found.line} is a relative import")
            elif found.target.partition(".")[0] in {"formats", "keyrings"}:
                problems.append(f"{module.name}:{found.line} wants {PACKAGE}.{found.target}")
    return problems


def unplaced(modules: Mapping[str, Module]) -> list[str]:
    """Return the parts of the package that no layer names."""
    return sorted({module.part for module in modules.values()} - set(RANK) - {"", BESIDE})


def cycle(modules: Mapping[str, Module]) -> list[str]:
    """Return the modules of one import cycle, or nothing. The package itself, which imports lazily, takes no part."""
    graph = {
        module.name: {target for _, target in own_imports(module, modules) if target not in {module.name, PACKAGE}}
        for module in modules.values()
        if module.name != PACKAGE
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def drawers(modules: Mapping[str, Module]) -> list[str]:
    """Return the modules named for nothing."""
    return [name for name in modules if any(part.strip("_") in DRAWERS for part in name.split("."))]


# --- the package -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def modules() -> dict[str, Module]:
    """The modules of the checkout."""
    return read_modules(package_directories(ROOT / "pyproject.toml"))


def test_the_sources_are_read(modules: dict[str, Module]) -> None:
    """Nothing below would fail on an empty tree, so the tree is not empty."""
    assert {PACKAGE, f"{PACKAGE}.errors", f"{PACKAGE}.formats.suites", f"{PACKAGE}.keyrings"} <= set(modules)
    assert not any(name.startswith(f"{PACKAGE}.formats.formats") for name in modules)


def test_every_part_has_a_layer(modules: dict[str, Module]) -> None:
    """A new part of the package is placed before it is used."""
    missing = unplaced(modules)

    assert not missing, f"{missing}: say in LAYERS of {Path(__file__).name} where these belong"


def test_imports_go_down(modules: dict[str, Module]) -> None:
    """A part imports itself and what is below it."""
    assert layer_violations(modules) == []


def test_importing_the_package_loads_nothing_else(modules: dict[str, Module]) -> None:
    """``envelope_sdk/__init__.py`` imports on demand: every import of a submodule runs it first."""
    assert eager_root_imports(modules) == []


def test_no_import_cycles(modules: dict[str, Module]) -> None:
    """Not between modules either, nor for types only."""
    assert cycle(modules) == []


def test_imports_are_absolute(modules: dict[str, Module]) -> None:
    """By the name under which the installed package knows them."""
    assert name_violations(modules) == []


def test_modules_are_named_for_what_they_hold(modules: dict[str, Module]) -> None:
    """No drawers."""
    assert drawers(modules) == []


# --- the rules bite --------------------------------------------------------------------------------------------------


def tree(**sources: str) -> dict[str, Module]:
    """Return made-up modules; in their names ``__`` stands for a dot."""
    named = {".".join([PACKAGE, *name.split("__")]): source for name, source in sources.items()}
    named.setdefault(PACKAGE, "")
    return {name: Module(name, tuple(imports_of(ast.parse(source)))) for name, source in named.items()}


FORBIDDEN = {
    "up": ("formats__header", "from envelope_sdk.keyrings import RawAes"),
    "up by one": ("materials", "import envelope_sdk.cache"),
    "sideways": ("cli__main", "from envelope_sdk.testing import check_keyring"),
    "formats take errors only": ("formats__suites", "from envelope_sdk.primitives import kdf"),
    "as a name of the package": ("message__keys", "from envelope_sdk import client"),
    "the package itself": ("streams__files", "import envelope_sdk"),
    "measuring by the command line": ("bench__engine", "from envelope_sdk.cli import main"),
    "a keyring on the local KMS": ("keyrings__kms__api", "from envelope_sdk.local_kms.inprocess import LocalKms"),
    "the local KMS on formats": ("local_kms__service", "from envelope_sdk.formats import suites"),
    "inside a function": ("errors", "def f():\n    from envelope_sdk.policy import Limits"),
    "for types only": ("policy", "if TYPE_CHECKING:\n    from envelope_sdk.client import Client"),
    "by import_module": ("policy", "importlib.import_module('envelope_sdk.client')"),
}


@pytest.mark.parametrize(("name", "source"), FORBIDDEN.values(), ids=FORBIDDEN)
def test_a_forbidden_import_is_found(name: str, source: str) -> None:
    """Each of these breaks the order of layers."""
    others = {"client": "", "policy": "", "testing": "", "primitives__kdf": "", "formats__suites": ""}

    assert len(layer_violations(tree(**(others | {name: source})))) == 1


PERMITTED = {
    "down": ("client", "from envelope_sdk.errors import EnvelopeError"),
    "itself": ("formats__header", "from envelope_sdk.formats.cursor import Cursor"),
    "the local KMS on primitives": ("local_kms__service", "from envelope_sdk.primitives import aead"),
    "the command line on the local KMS": ("cli__main", "from envelope_sdk.local_kms import service"),
    "measuring with the local KMS": ("bench__engine", "from envelope_sdk.local_kms import service"),
    "contract suites on the local KMS": ("testing__kms", "from envelope_sdk.local_kms import service"),
    "other libraries": ("errors", "import json, cryptography"),
}


@pytest.mark.parametrize(("name", "source"), PERMITTED.values(), ids=PERMITTED)
def test_a_permitted_import_passes(name: str, source: str) -> None:
    """Each of these keeps it."""
    assert layer_violations(tree(**{name: source})) == []


def test_a_cycle_is_found() -> None:
    """Two modules of one part that need each other, one of them for types only."""
    made = tree(
        formats__header="from envelope_sdk.formats.edks import parse",
        formats__edks="if TYPE_CHECKING:\n    from envelope_sdk.formats.header import Header",
    )

    assert set(cycle(made)) == {"envelope_sdk.formats.header", "envelope_sdk.formats.edks"}


def test_a_cycle_through_a_package_is_found() -> None:
    """Taking a name out of one's own package's ``__init__`` is a cycle if that imports the module."""
    made = tree(
        formats="from envelope_sdk.formats.header import Header",
        formats__header="from envelope_sdk.formats import Cursor",
    )

    assert set(cycle(made)) == {"envelope_sdk.formats", "envelope_sdk.formats.header"}


def test_an_eager_root_is_found() -> None:
    """At the top, and in a ``try``; not for types, nor on demand."""
    modules = tree(client="", errors="")
    source = "\n".join(
        [
            "from envelope_sdk.client import Client",
            "try:\n    import envelope_sdk.errors\nexcept ImportError:\n    pass",
            "if TYPE_CHECKING:\n    import envelope_sdk.errors",
            "def __getattr__(name):\n    from envelope_sdk.client import Client",
        ]
    )
    modules[PACKAGE] = Module(PACKAGE, tuple(imports_of(ast.parse(source))))

    assert [line.split()[0] for line in eager_root_imports(modules)] == [f"{PACKAGE}:1", f"{PACKAGE}:3"]


def test_names_are_held() -> None:
    """Relative imports, the folder's own name, drawers and strangers."""
    made = tree(formats__header="from . import cursor\nfrom formats.edks import parse", streams___utils="", cloud="")

    assert len(name_violations(made)) == 2
    assert drawers(made) == ["envelope_sdk.streams._utils"]
    assert unplaced(made) == ["cloud"]
