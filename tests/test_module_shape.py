"""Guard rails on the shape of modules: their length, and a docstring on every public name."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LONGEST = 500  # lines

PATHS = sorted(
    path
    for directory in tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"][
        "package-dir"
    ].values()
    for path in (ROOT / directory).rglob("*.py")  # does not follow the links
)

Documented = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def undocumented(tree: ast.Module) -> list[str]:
    """Return the public names without a docstring; ``module`` is the module itself."""
    missing = [] if ast.get_docstring(tree) else ["module"]
    return missing + [name for name, node in public_names(tree) if not ast.get_docstring(node)]


def public_names(parent: ast.Module | ast.ClassDef, prefix: str = "") -> Iterator[tuple[str, Documented]]:
    """Yield the classes, functions and methods that others may use."""
    for node in definitions(parent.body):
        if node.name.startswith("_") or documented_elsewhere(node):
            continue
        yield f"{prefix}{node.name}", node
        if isinstance(node, ast.ClassDef):
            yield from public_names(node, f"{prefix}{node.name}.")


def definitions(body: list[ast.stmt]) -> Iterator[Documented]:
    """Yield classes and functions, those under an ``if`` or in a ``try`` too."""
    for node in body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node
        elif isinstance(node, ast.If | ast.Try):
            yield from definitions(node.body)
            yield from definitions(node.orelse)


def documented_elsewhere(node: Documented) -> bool:
    """Whether another definition carries the docstring: overloads, overrides, setters and deleters."""
    names = {getattr(decorator, "attr", getattr(decorator, "id", "")) for decorator in node.decorator_list}
    return bool(names & {"overload", "override", "setter", "deleter"})


def test_there_are_modules() -> None:
    """The tests below are parametrized over something."""
    assert len(PATHS) > 10


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_module_keeps_its_shape(path: Path) -> None:
    """No longer than a person reads in one go, and every public name says what it is."""
    text = path.read_text("utf-8")
    lines = text.count("\n")

    assert lines <= LONGEST, f"{lines} lines: what are the two things in it?"
    assert undocumented(ast.parse(text)) == []


def test_a_missing_docstring_is_found() -> None:
    """On the module, a function, a class and a method; not on private names, setters and overloads."""
    source = """
class Reader:
    def read(self): ...
    def _fill(self): ...
    @property
    def size(self):
        "In bytes."
    @size.setter
    def size(self, value): ...
if True:
    async def open(): ...
@overload
def parse(data): ...
def _inner(): ...
"""

    assert undocumented(ast.parse(source)) == ["module", "Reader", "Reader.read", "open"]
