"""What is used of fsspec, which comes without type information."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Final

__all__ = [
    "AbstractBufferedFile",
    "AbstractFileSystem",
    "CachingFileSystem",
    "ChainedFileSystem",
    "DEFAULT_CALLBACK",
    "DirFileSystem",
    "LocalFileSystem",
    "MemoryFile",
    "Transaction",
    "compressors",
    "filesystem",
    "get_compression",
    "is_protocol",
    "isfilelike",
    "stringify_path",
]


def _module(name: str) -> Any:
    try:
        return import_module(f"fsspec.{name}")
    except ImportError as error:
        raise ImportError("esdk:// needs fsspec 2025.10 or later: pip install 'envelope-sdk[fsspec]'") from error


AbstractBufferedFile: Any = _module("spec").AbstractBufferedFile
AbstractFileSystem: Any = _module("spec").AbstractFileSystem
CachingFileSystem: Any = _module("implementations.cached").CachingFileSystem
ChainedFileSystem: Any = _module("implementations.chained").ChainedFileSystem
DirFileSystem: Any = _module("implementations.dirfs").DirFileSystem
LocalFileSystem: Any = _module("implementations.local").LocalFileSystem
MemoryFile: Any = _module("implementations.memory").MemoryFile
Transaction: Any = _module("transaction").Transaction

DEFAULT_CALLBACK: Final[Any] = _module("callbacks").DEFAULT_CALLBACK
compressors: Final[dict[str, Any]] = _module("compression").compr
filesystem: Final[Any] = _module("registry").filesystem
get_compression: Final[Any] = _module("core").get_compression
isfilelike: Final[Any] = _module("utils").isfilelike
stringify_path: Final[Any] = _module("utils").stringify_path


def is_protocol(name: str) -> bool:
    """Return whether fsspec knows a filesystem of that name."""
    registry = _module("registry")
    return name in registry.known_implementations or name in registry.registry
