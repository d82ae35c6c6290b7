"""Other libraries, bytes to bytes: what they call encrypting and decrypting, behind two functions each.

A library that is not installed is left out, and said to be.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

SECRETSTREAM_CHUNK = 65_536


@dataclass(frozen=True)
class Peer:
    """One way of another library to encrypt and decrypt bytes, with its key at hand."""

    name: str
    encrypt: Callable[[bytes], bytes]
    decrypt: Callable[[bytes], bytes]


Make = Callable[[], Peer]


def installed(makers: Iterable[tuple[str, Make]]) -> tuple[list[Peer], dict[str, str]]:
    """Return the peers that are installed, and why the others are not among them."""
    peers, absent = [], {}
    for name, make in makers:
        try:
            peers.append(make())
        except ImportError as error:
            absent[name] = f"{error.name} is not installed"
    return peers, absent


def checked(peer: Peer, data: bytes) -> Peer:
    """Return the peer once it has shown that it gives data back."""
    assert bytes(peer.decrypt(peer.encrypt(data))) == data, f"{peer.name}: other bytes came back"
    return peer


def aws(name: str, materials: str, frame_length: int = 4096, *, signed: bool = False) -> tuple[str, Make]:
    """Return the maker of the AWS Encryption SDK; ``materials`` is ``legacy``, ``caching`` or ``MPL``."""

    def make() -> Peer:
        import aws_sdk

        client = aws_sdk.client()
        chosen: dict[str, Any] = aws_sdk.MATERIALS[materials]()
        algorithm = aws_sdk.SIGNED if signed else aws_sdk.UNSIGNED

        def encrypt(data: bytes) -> bytes:
            message: bytes
            message, _ = client.encrypt(source=data, algorithm=algorithm, frame_length=frame_length, **chosen)
            return message

        def decrypt(message: bytes) -> bytes:
            plaintext: bytes
            plaintext, _ = client.decrypt(source=message, **chosen)
            return plaintext

        return Peer(name, encrypt, decrypt)

    return name, make


def tink_aead() -> Peer:
    """Return Tink's one-shot AEAD."""
    import tink
    from tink import aead

    aead.register()
    primitive = tink.new_keyset_handle(aead.aead_key_templates.AES256_GCM).primitive(aead.Aead)
    return Peer("tink AEAD", lambda data: primitive.encrypt(data, b""), lambda message: primitive.decrypt(message, b""))


def tink_streaming(template: str) -> tuple[str, Make]:
    """Return the maker of Tink's streaming AEAD in segments of ``4KB`` or ``1MB``."""
    name = f"tink streaming {template}"

    def make() -> Peer:
        from io import BytesIO

        import tink
        from tink import streaming_aead

        streaming_aead.register()
        chosen = getattr(streaming_aead.streaming_aead_key_templates, f"AES256_GCM_HKDF_{template}")
        primitive = tink.new_keyset_handle(chosen).primitive(streaming_aead.StreamingAead)

        class Kept(BytesIO):
            def close(self) -> None:
                """Stay open: what was written is still to be taken out."""

        def encrypt(data: bytes) -> bytes:
            out = Kept()
            with primitive.new_encrypting_stream(out, b"") as stream:
                stream.write(data)
            return out.getvalue()

        def decrypt(message: bytes) -> bytes:
            with primitive.new_decrypting_stream(BytesIO(message), b"") as stream:
                plaintext: bytes = stream.read()
            return plaintext

        return Peer(name, encrypt, decrypt)

    return name, make


def pyrage() -> Peer:
    """Return age under an X25519 identity."""
    import pyrage as age

    identity = age.x25519.Identity.generate()
    recipients, identities = [identity.to_public()], [identity]
    return Peer("pyrage", lambda data: age.encrypt(data, recipients), lambda message: age.decrypt(message, identities))


def secretstream() -> Peer:
    """Return libsodium's secretstream in chunks of 64 KiB."""
    from nacl import bindings as nacl

    key = nacl.crypto_secretstream_xchacha20poly1305_keygen()
    final = nacl.crypto_secretstream_xchacha20poly1305_TAG_FINAL
    plain = nacl.crypto_secretstream_xchacha20poly1305_TAG_MESSAGE
    head = nacl.crypto_secretstream_xchacha20poly1305_HEADERBYTES
    sealed = SECRETSTREAM_CHUNK + nacl.crypto_secretstream_xchacha20poly1305_ABYTES

    def encrypt(data: bytes) -> bytes:
        state = nacl.crypto_secretstream_xchacha20poly1305_state()
        pieces = [nacl.crypto_secretstream_xchacha20poly1305_init_push(state, key)]
        for start in range(0, len(data), SECRETSTREAM_CHUNK):
            chunk = data[start : start + SECRETSTREAM_CHUNK]
            tag = final if start + SECRETSTREAM_CHUNK >= len(data) else plain
            pieces.append(nacl.crypto_secretstream_xchacha20poly1305_push(state, chunk, None, tag))
        return b"".join(pieces)

    def decrypt(message: bytes) -> bytes:
        state = nacl.crypto_secretstream_xchacha20poly1305_state()
        nacl.crypto_secretstream_xchacha20poly1305_init_pull(state, message[:head], key)
        pieces, tag = [], None
        for start in range(head, len(message), sealed):
            piece, tag = nacl.crypto_secretstream_xchacha20poly1305_pull(state, message[start : start + sealed], None)
            pieces.append(piece)
        assert tag == final, "the stream ends early"
        return b"".join(pieces)

    return Peer("PyNaCl secretstream", encrypt, decrypt)


OTHERS: tuple[tuple[str, Make], ...] = (
    ("tink AEAD", tink_aead),
    tink_streaming("4KB"),
    tink_streaming("1MB"),
    ("pyrage", pyrage),
    ("PyNaCl secretstream", secretstream),
)
"""Those that are not the AWS Encryption SDK."""
