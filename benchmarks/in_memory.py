"""1 MiB in memory, bytes to bytes: against one bare AES-GCM call over as many bytes, and against what others do.

    python benchmarks/in_memory.py
    python benchmarks/in_memory.py --mib 8

Proves that from frames of 64 KiB up little but AES-GCM is paid for. Baselines: one call of ``encrypt_into`` (or
``decrypt_into``) to a buffer that is reused, the least that is possible; and one of ``AESGCM.encrypt`` (``decrypt``),
which makes its result anew as all others have to. Every result is checked once before anything is measured.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial

import peers
from cached_materials import CachedMaterials
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from interleaved import measure
from report import Report, arguments
from tables import AtMost, Faster, Row, Table, Target

from envelope_sdk import Client
from envelope_sdk.keyrings import RawAesKeyring

INTO, WHOLE = "bare call, buffer reused", "bare call"
FRAME_LENGTHS = (4096, 65_536, 1_048_576)
CACHING, LEGACY, MPL = "AWS SDK caching", "AWS SDK legacy", "AWS SDK MPL"

Subjects = dict[str, Callable[[], object]]


def bare_calls(data: bytes) -> tuple[Subjects, Subjects]:
    """Return the baselines of both directions."""
    bare, iv = AESGCM(bytes(32)), bytes(12)
    sealed = bare.encrypt(iv, data, b"")
    into, back = bytearray(len(sealed)), bytearray(len(data))
    bare.decrypt_into(iv, sealed, b"", back)
    assert back == data
    return (
        {INTO: lambda: bare.encrypt_into(iv, data, b"", into), WHOLE: lambda: bare.encrypt(iv, data, b"")},
        {INTO: lambda: bare.decrypt_into(iv, sealed, b"", back), WHOLE: lambda: bare.decrypt(iv, sealed, b"")},
    )


def clients(frame_length: int) -> dict[str, Client]:
    """Return this package's clients: one that asks its keyring for every message, one that asks once."""
    keyring = RawAesKeyring("benchmark", "key", bytes(32))
    cached = CachedMaterials(keyring)
    frames = f"{frame_length // 1024} KiB frames"
    return {
        f"cached materials, {frames}": Client(materials_manager=cached, frame_length=frame_length),
        f"cached materials, {frames}, one thread": Client(
            materials_manager=cached, frame_length=frame_length, threads=1
        ),
        f"raw AES keyring, {frames}": Client(keyring, frame_length=frame_length),
    }


def targets(name: str, frame_length: int) -> tuple[Target, ...]:
    """Return what is asked of one of this package's rows."""
    wanted: list[Target] = [AtMost(5 if frame_length == 4096 else 1.7, INTO)]
    if frame_length in (4096, 65_536) and name.startswith("cached"):
        wanted.append(Faster(9 if frame_length == 4096 else 6.5, CACHING))
    return tuple(wanted)


def main() -> None:
    parser = arguments(__doc__, rounds=15)
    parser.add_argument("--mib", type=int, default=1, help="size of a message")
    options = parser.parse_args()
    rounds, repeat = (3, 2) if options.small else (options.rounds, 16)
    data = os.urandom(options.mib * 2**20)
    report = Report(options.check)
    report.begin(f"{options.mib} MiB, bytes to bytes, {rounds} rounds")
    absent: dict[str, str] = {}
    for frame_length in FRAME_LENGTHS:
        compare(report, data, frame_length, (rounds, repeat), absent)
    report.absent(absent)
    report.end()


def compare(report: Report, data: bytes, frame_length: int, effort: tuple[int, int], absent: dict[str, str]) -> None:
    """Measure and print one frame length, both directions."""
    own = clients(frame_length)
    makers = [peers.aws(f"AWS SDK {kind}", kind, frame_length) for kind in ("caching", "legacy", "MPL")]
    found, missing = peers.installed((*makers, *peers.OTHERS))
    absent |= missing
    encrypting, decrypting = bare_calls(data)
    for name, client in own.items():
        message = client.encrypt(data).ciphertext
        assert client.decrypt(message).plaintext == data, f"{name}: other bytes came back"
        encrypting[name] = partial(client.encrypt, data)
        decrypting[name] = partial(client.decrypt, message)
    for peer in found:
        peers.checked(peer, data)
        encrypting[peer.name] = partial(peer.encrypt, data)
        decrypting[peer.name] = partial(peer.decrypt, peer.encrypt(data))
    rows = [Row(INTO), Row(WHOLE), *(Row(name, targets(name, frame_length)) for name in own)]
    rows += [Row(peer.name) for peer in found]
    directions: Mapping[str, Subjects] = {"encrypt": encrypting, "decrypt": decrypting}
    for direction, subjects in directions.items():
        title = f"{direction}, {frame_length // 1024} KiB frames"
        table = Table(title, rows, [INTO, WHOLE], [peer.name for peer in found], unit="us")
        report.add(measure(subjects, rounds=effort[0], repeat=effort[1]), table)


if __name__ == "__main__":
    main()
