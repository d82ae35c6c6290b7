"""Encrypted streams for asyncio and trio. Needs anyio: ``pip install 'envelope-sdk[async]'``.

:func:`encrypt_chunks` and :func:`decrypt_chunks` turn one asynchronous iterator of bytes into another, for bodies of
requests and answers; :func:`open` opens files.
"""

from envelope_sdk.streams.async_chunks import DecryptedChunks, EncryptedChunks, decrypt_chunks, encrypt_chunks
from envelope_sdk.streams.async_files import (
    AsyncEncryptedFile,
    open,  # noqa: A004 - the name that gzip and its like use
)

__all__ = ["AsyncEncryptedFile", "DecryptedChunks", "EncryptedChunks", "decrypt_chunks", "encrypt_chunks", "open"]
