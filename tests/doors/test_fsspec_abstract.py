"""The tests that fsspec publishes for implementations of its own interface, over local files and over memory."""

from __future__ import annotations

import pytest
from testkit.key_files import key_file

fsspec = pytest.importorskip("fsspec")
abstract = pytest.importorskip("fsspec.tests.abstract")


class Local(abstract.AbstractFixtures):
    @pytest.fixture(scope="class")
    @classmethod
    def fs(cls, tmp_path_factory: pytest.TempPathFactory):
        keys = key_file(tmp_path_factory.mktemp("keys"))
        return fsspec.filesystem("esdk", target_protocol="file", target_options={"auto_mkdir": True}, keys=keys)

    @pytest.fixture
    def fs_path(self, tmp_path_factory: pytest.TempPathFactory) -> str:
        return str(tmp_path_factory.mktemp("files"))


class Suffixed(Local):
    @pytest.fixture(scope="class")
    @classmethod
    def fs(cls, tmp_path_factory: pytest.TempPathFactory):
        keys = key_file(tmp_path_factory.mktemp("keys"))
        return fsspec.filesystem("esdk", fs=fsspec.filesystem("file", auto_mkdir=True), keys=keys, suffix=".enc")


class Memory(abstract.AbstractFixtures):
    @pytest.fixture(scope="class")
    @classmethod
    def fs(cls, tmp_path_factory: pytest.TempPathFactory):
        fs = fsspec.filesystem("esdk", target_protocol="memory", keys=key_file(tmp_path_factory.mktemp("keys")))
        fs.target.store.clear()
        fs.target.pseudo_dirs[:] = [""]
        yield fs
        fs.target.store.clear()
        fs.target.pseudo_dirs[:] = [""]

    @pytest.fixture
    def fs_path(self) -> str:
        return "/files"


class TestLocalCopy(Local, abstract.AbstractCopyTests): ...


class TestLocalGet(Local, abstract.AbstractGetTests): ...


class TestLocalPut(Local, abstract.AbstractPutTests): ...


class TestLocalOpen(Local, abstract.AbstractOpenTests): ...


class TestLocalPipe(Local, abstract.AbstractPipeTests): ...


class TestSuffixedCopy(Suffixed, abstract.AbstractCopyTests): ...


class TestSuffixedGet(Suffixed, abstract.AbstractGetTests): ...


class TestSuffixedPut(Suffixed, abstract.AbstractPutTests): ...


class TestMemoryCopy(Memory, abstract.AbstractCopyTests): ...


class TestMemoryGet(Memory, abstract.AbstractGetTests): ...


class TestMemoryPut(Memory, abstract.AbstractPutTests): ...


class TestMemoryOpen(Memory, abstract.AbstractOpenTests): ...


class TestMemoryPipe(Memory, abstract.AbstractPipeTests): ...
