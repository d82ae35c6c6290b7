"""Encrypted files wherever fsspec has files: ``esdk::file://...``, ``esdk::s3://...``.

Needs fsspec: ``pip install 'envelope-sdk[fsspec]'``. pandas, pyarrow, dask and whatever else opens files through fsspec
find :class:`EncryptedFileSystem` by its name, ``esdk``, without an import. See ``docs/fsspec.md``.
"""

from envelope_sdk.integrations.fsspec.filesystem import EncryptedFileSystem

__all__ = ["EncryptedFileSystem"]
