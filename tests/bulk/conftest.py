"""A folder of files, a key file, and a recipe for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from envelope_sdk import bulk
from envelope_sdk.keyrings.key_files import encode_aes_key_file


@pytest.fixture
def key(tmp_path: Path) -> str:
    """The path of a key file."""
    path = tmp_path / "a.key"
    path.write_bytes(encode_aes_key_file("test", "key-1", bytes(range(32))))
    path.chmod(0o600)
    return str(path)


@pytest.fixture
def recipe(key: str) -> bulk.ClientRecipe:
    """A client of that key, with small frames."""
    return bulk.ClientRecipe([key], frame_length=1024)


@pytest.fixture
def files(tmp_path: Path) -> Callable[..., list[bulk.Item]]:
    """Makes files in a folder ``in``, and items that go to ``out``."""

    def make(names: Iterable[str], size: int = 2000) -> list[bulk.Item]:
        (tmp_path / "in").mkdir(exist_ok=True)
        items = []
        for name in names:
            source = tmp_path / "in" / name
            source.write_bytes(content(name, size))
            items.append(bulk.Item(str(source), str(tmp_path / "out" / name), source.stat().st_size))
        return items

    return make


def content(name: str, size: int = 2000) -> bytes:
    """Return what a file of that name holds."""
    return (name.encode() * size)[:size]


@pytest.fixture
def opens(recipe: bulk.ClientRecipe, tmp_path: Path) -> Callable[..., bool]:
    """Tells whether the messages in ``out`` are those of these names, whole, and nothing else is there."""

    def check(names: Iterable[str], size: int = 2000) -> bool:
        opened = recipe.open()
        found = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
        plain = {name: opened.client.decrypt(data).plaintext for name, data in found.items()}
        return plain == {name: content(name, size) for name in names}

    return check
