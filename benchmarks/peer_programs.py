"""The programs of large_files.py that need other libraries: each turns one file into another, as its manual says to.

A program is three functions: ``<name>_key`` makes a key file, ``<name>_encrypt`` and ``<name>_decrypt`` use it. They
are run in processes of their own, so nothing is imported before it is needed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

BUFFER = 2**20
SECRETSTREAM_CHUNK = 65_536


# --- aws-encryption-sdk: its streaming loop, in frames of 4 KiB, which are its default --------------------------------


def aws_key(_path: str, *_arguments: str) -> None:
    """Make none: the key is a constant."""


def aws_encrypt(source: str, target: str, _key: str, materials: str, signing: str) -> None:
    """Encrypt with the loop of the SDK's README."""
    import aws_sdk

    algorithm = aws_sdk.SIGNED if signing == "signed" else aws_sdk.UNSIGNED
    chosen = aws_sdk.MATERIALS[materials]()
    with (
        Path(source).open("rb") as read,
        Path(target).open("wb") as write,
        aws_sdk.client().stream(mode="e", source=read, algorithm=algorithm, **chosen) as stream,
    ):
        for chunk in stream:  # noqa: FURB122 - as it is documented
            write.write(chunk)


def aws_decrypt(source: str, target: str, _key: str, materials: str, _signing: str) -> None:
    """Decrypt with the loop of the SDK's README."""
    import aws_sdk

    chosen = aws_sdk.MATERIALS[materials]()
    with (
        Path(source).open("rb") as read,
        Path(target).open("wb") as write,
        aws_sdk.client().stream(mode="d", source=read, **chosen) as stream,
    ):
        for chunk in stream:  # noqa: FURB122 - as it is documented
            write.write(chunk)


# --- Tink: streaming AEAD, segments of 4 KiB or 1 MiB ----------------------------------------------------------------


def tink_key(path: str, template: str) -> None:
    """Make a keyset of a template, ``AES256_GCM_HKDF_4KB`` or ``AES256_GCM_HKDF_1MB``."""
    import tink
    from tink import secret_key_access, streaming_aead

    streaming_aead.register()
    handle = tink.new_keyset_handle(getattr(streaming_aead.streaming_aead_key_templates, template))
    Path(path).write_text(tink.json_proto_keyset_format.serialize(handle, secret_key_access.TOKEN))


def tink_encrypt(source: str, target: str, key: str, _template: str) -> None:
    """Encrypt, 1 MiB at a time."""
    primitive = _tink(key)
    buffer = memoryview(bytearray(BUFFER))
    with (
        Path(source).open("rb", buffering=0) as read,
        Path(target).open("wb") as write,
        primitive.new_encrypting_stream(write, b"") as stream,
    ):
        while count := read.readinto(buffer):
            stream.write(buffer[:count])


def tink_decrypt(source: str, target: str, key: str, _template: str) -> None:
    """Decrypt, 1 MiB at a time."""
    primitive = _tink(key)
    with (
        Path(source).open("rb") as read,
        Path(target).open("wb", buffering=0) as write,
        primitive.new_decrypting_stream(read, b"") as stream,
    ):
        while piece := stream.read(BUFFER):
            write.write(piece)


def _tink(key: str) -> Any:
    import tink
    from tink import secret_key_access, streaming_aead

    streaming_aead.register()
    handle = tink.json_proto_keyset_format.parse(Path(key).read_text(), secret_key_access.TOKEN)
    return handle.primitive(streaming_aead.StreamingAead)


# --- age, in Rust ----------------------------------------------------------------------------------------------------


def pyrage_key(path: str) -> None:
    """Make an X25519 identity."""
    from pyrage import x25519

    Path(path).write_text(str(x25519.Identity.generate()))


def pyrage_encrypt(source: str, target: str, key: str) -> None:
    """Encrypt to the identity's recipient."""
    import pyrage

    identity = pyrage.x25519.Identity.from_str(Path(key).read_text())
    pyrage.encrypt_file(source, target, [identity.to_public()])


def pyrage_decrypt(source: str, target: str, key: str) -> None:
    """Decrypt with the identity."""
    import pyrage

    pyrage.decrypt_file(source, target, [pyrage.x25519.Identity.from_str(Path(key).read_text())])


# --- PyNaCl: secretstream, chunks of 64 KiB --------------------------------------------------------------------------


def secretstream_key(path: str) -> None:
    """Make a key."""
    from nacl import bindings

    Path(path).write_bytes(bindings.crypto_secretstream_xchacha20poly1305_keygen())


def secretstream_encrypt(source: str, target: str, key: str) -> None:
    """Encrypt; an empty chunk marks the end."""
    from nacl import bindings as nacl

    state = nacl.crypto_secretstream_xchacha20poly1305_state()
    push = nacl.crypto_secretstream_xchacha20poly1305_push
    message = nacl.crypto_secretstream_xchacha20poly1305_TAG_MESSAGE
    final = nacl.crypto_secretstream_xchacha20poly1305_TAG_FINAL
    with Path(source).open("rb", buffering=0) as read, Path(target).open("wb", buffering=BUFFER) as write:
        write.write(nacl.crypto_secretstream_xchacha20poly1305_init_push(state, Path(key).read_bytes()))
        while chunk := read.read(SECRETSTREAM_CHUNK):
            write.write(push(state, chunk, None, message))
        write.write(push(state, b"", None, final))


def secretstream_decrypt(source: str, target: str, key: str) -> None:
    """Decrypt, up to the chunk that marks the end."""
    from nacl import bindings as nacl

    state = nacl.crypto_secretstream_xchacha20poly1305_state()
    pull = nacl.crypto_secretstream_xchacha20poly1305_pull
    sealed = SECRETSTREAM_CHUNK + nacl.crypto_secretstream_xchacha20poly1305_ABYTES
    tag = None
    with Path(source).open("rb", buffering=BUFFER) as read, Path(target).open("wb", buffering=0) as write:
        header = read.read(nacl.crypto_secretstream_xchacha20poly1305_HEADERBYTES)
        nacl.crypto_secretstream_xchacha20poly1305_init_pull(state, header, Path(key).read_bytes())
        while chunk := read.read(sealed):
            plaintext, tag = pull(state, chunk, None)
            write.write(plaintext)
    assert tag == nacl.crypto_secretstream_xchacha20poly1305_TAG_FINAL, "the stream ends early"
