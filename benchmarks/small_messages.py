"""Small messages, bytes to bytes: against the one AES-GCM call that they need at least, and against what others do.

    python benchmarks/small_messages.py
    python benchmarks/small_messages.py --sizes 1024

Proves what a message costs besides its bytes: key derivation, header, the wrapped data key, the signature. "Cached
materials" asks the keyring for the first message only, as behind a cache that always hits and costs nothing; "caching
manager" is the real one, with its limits, locks and wiping; "raw AES keyring" wraps a new data key for every message.
Signed messages are held against the bare signature with its key pair: made anew for
every message, or cached with the materials. Calls run in blocks, in turn, so that noise hits all alike; every result is
checked once before anything is measured.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial

import peers
from cached_materials import CachedMaterials
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA384, SHA512
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand
from interleaved import measure
from report import Report, arguments
from tables import AtMost, Faster, Row, Table

from envelope_sdk import Client
from envelope_sdk.keyrings import RawAesKeyring
from envelope_sdk.managers import CachingMaterialsManager

NEEDED = "all calls it needs, bare"
BARE, VERIFY, SIGN, KEY_AND_SIGN = "bare call", "bare verification", "bare signature", "bare key pair and signature"
CACHED, MANAGER, RAW = "cached materials", "caching manager", "raw AES keyring"
CACHED_SIGNED, RAW_SIGNED = "cached materials and key pair, signed", "raw AES keyring, signed"
MANAGER_SIGNED = "caching manager, signed"
CACHING, LEGACY, MPL = "AWS SDK caching", "AWS SDK legacy", "AWS SDK MPL"
AWS = {CACHING: "caching", LEGACY: "legacy", MPL: "MPL"}
SIGNED = ", signed"

Subjects = dict[str, Callable[[], object]]


def clients() -> dict[str, Client]:
    """Return this package's clients by row."""
    keyring = RawAesKeyring("benchmark", "key", bytes(32))
    return {
        CACHED: Client(materials_manager=CachedMaterials(keyring)),
        MANAGER: Client(materials_manager=CachingMaterialsManager(keyring, max_age_seconds=3600)),
        RAW: Client(keyring),
        CACHED_SIGNED: Client(materials_manager=CachedMaterials(keyring), sign=True),
        MANAGER_SIGNED: Client(materials_manager=CachingMaterialsManager(keyring, max_age_seconds=3600), sign=True),
        RAW_SIGNED: Client(keyring, sign=True),
    }


def bare_calls(data: bytes) -> tuple[Subjects, Subjects]:
    """Return the baselines of both directions."""
    bare, iv, curve, scheme = AESGCM(bytes(32)), bytes(12), ec.SECP384R1(), ec.ECDSA(SHA384())
    sealed = bare.encrypt(iv, data, b"")
    wrapped, salt = bare.encrypt(iv, bytes(32), b""), bytes(32)
    tag = bare.encrypt(iv, b"", b"")
    commitment = HKDFExpand(SHA512(), 32, b"COMMITKEY").derive(HKDF.extract(SHA512(), salt, bytes(32)))
    key = ec.generate_private_key(curve)
    public, signature = key.public_key(), key.sign(data, scheme)
    encrypting: Subjects = {
        BARE: lambda: bare.encrypt(iv, data, b""),
        NEEDED: lambda: needed_to_encrypt(bare, data),
        SIGN: lambda: key.sign(data, scheme),
        KEY_AND_SIGN: lambda: ec.generate_private_key(curve).sign(data, scheme),
    }
    decrypting: Subjects = {
        BARE: lambda: bare.decrypt(iv, sealed, b""),
        NEEDED: lambda: needed_to_decrypt(bare, sealed, tag, wrapped, salt, commitment),
        VERIFY: lambda: public.verify(signature, data, scheme),
    }
    return encrypting, decrypting


def needed_to_encrypt(wrapping: AESGCM, data: bytes) -> None:
    """Call what a message under a raw key cannot do without: randomness, wrapping, key derivation, two tags."""
    data_key, iv, salt, zeros = os.urandom(32), os.urandom(12), os.urandom(32), bytes(12)
    wrapping.encrypt(iv, data_key, b"")
    root = HKDF.extract(SHA512(), salt, data_key)
    cipher = AESGCM(HKDFExpand(SHA512(), 32, b"??DERIVEKEY").derive(root))
    HKDFExpand(SHA512(), 32, b"COMMITKEY").derive(root)
    cipher.encrypt(zeros, b"", salt * 6)
    cipher.encrypt(iv, data, b"")


def needed_to_decrypt(bare: AESGCM, sealed: bytes, tag: bytes, wrapped: bytes, salt: bytes, commitment: bytes) -> None:
    """As :func:`needed_to_encrypt`, the other way."""
    zeros = bytes(12)
    data_key = bare.decrypt(zeros, wrapped, b"")
    root = HKDF.extract(SHA512(), salt, data_key)
    HKDFExpand(SHA512(), 32, b"COMMITKEY").verify(root, commitment)
    AESGCM(HKDFExpand(SHA512(), 32, b"??DERIVEKEY").derive(root))
    bare.decrypt(zeros, tag, b"")
    bare.decrypt(zeros, sealed, b"")


def subjects_of(data: bytes) -> tuple[Subjects, Subjects, list[peers.Peer], dict[str, str]]:
    """Return all that is measured in both directions, each checked once, with the peers that take part and do not."""
    makers = [peers.aws(f"{name}{end}", kind, signed=bool(end)) for end in ("", SIGNED) for name, kind in AWS.items()]
    found, absent = peers.installed((*makers, *peers.OTHERS))
    encrypting, decrypting = bare_calls(data)
    for name, client in clients().items():
        message = client.encrypt(data).ciphertext
        assert client.decrypt(message).plaintext == data, f"{name}: other bytes came back"
        encrypting[name] = partial(client.encrypt, data)
        decrypting[name] = partial(client.decrypt, message)
    for peer in found:
        peers.checked(peer, data)
        encrypting[peer.name] = partial(peer.encrypt, data)
        decrypting[peer.name] = partial(peer.decrypt, peer.encrypt(data))
    return encrypting, decrypting, found, absent


def tables(size: int, direction: str, found: list[peers.Peer]) -> list[Table]:
    """Return the tables of one direction: unsigned messages, then signed ones."""
    over = (12, 15) if direction == "encrypt" else (15, 17)
    ahead = (Faster(7.5, CACHING), Faster(60, MPL))
    rows = [
        Row(BARE),
        Row(NEEDED),
        Row(CACHED, (AtMost(1, BARE, plus_us=over[0]), *ahead)),
        Row(MANAGER, (AtMost(1, CACHED, plus_us=5),)),
        Row(RAW, (AtMost(1, BARE, plus_us=over[1]), Faster(60, MPL))),
    ]
    signed = [Row(SIGN), Row(KEY_AND_SIGN), Row(VERIFY)]
    if direction == "encrypt":
        signed += [Row(CACHED_SIGNED, (AtMost(1.25, SIGN),)), Row(MANAGER_SIGNED, (AtMost(1.25, SIGN),))]
        signed += [Row(RAW_SIGNED, (AtMost(1.25, KEY_AND_SIGN),))]
        bounds = [SIGN, KEY_AND_SIGN]
    else:
        signed += [Row(CACHED_SIGNED), Row(MANAGER_SIGNED), Row(RAW_SIGNED)]
        bounds = [VERIFY]
    unsigned_peers = [peer.name for peer in found if not peer.name.endswith(SIGNED)]
    signed_peers = [peer.name for peer in found if peer.name.endswith(SIGNED)]
    title = f"{direction} {size:,} B"
    return [
        Table(title, [*rows, *map(Row, unsigned_peers)], [BARE, NEEDED], unsigned_peers, unit="us", difference=True),
        Table(f"{title}{SIGNED}", [*signed, *map(Row, signed_peers)], bounds, signed_peers, unit="us"),
    ]


def main() -> None:
    parser = arguments(__doc__, rounds=31)
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 4096], metavar="BYTES")
    parser.add_argument("--repeat", type=int, default=50, help="calls in a block")
    options = parser.parse_args()
    if options.small:
        options.rounds, options.repeat = 3, 5
    report = Report(options.check)
    report.begin(f"small messages, bytes to bytes, {options.rounds} rounds of {options.repeat} calls")
    absent: dict[str, str] = {}
    for size in options.sizes:
        encrypting, decrypting, found, missing = subjects_of(os.urandom(size))
        absent |= missing
        for direction, subjects in (("encrypt", encrypting), ("decrypt", decrypting)):
            times = measure(subjects, rounds=options.rounds, repeat=options.repeat)
            report.add(times, *tables(size, direction, found))
    report.absent(absent)
    report.end()


if __name__ == "__main__":
    main()
