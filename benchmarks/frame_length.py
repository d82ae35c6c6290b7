"""What a frame length costs and buys: the figures behind the default.

    python benchmarks/frame_length.py

For each frame length, against one bare AES-GCM call over the same bytes in the same run: encrypting and decrypting in
memory, encrypting file to file, what the message grows by, and what one byte in the middle costs to read (a whole frame
has to be authenticated for it).
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from interleaved import environment, measure, median, ratio

import envelope_sdk
from envelope_sdk.keyrings import RawAesKeyring

FRAME_LENGTHS = (1024, 4096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mib", type=int, default=64, help="size of the plaintext")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--folder", default="/dev/shm" if Path("/dev/shm").is_dir() else None)
    options = parser.parse_args()

    data = os.urandom(options.mib * 2**20)
    keyring = RawAesKeyring("benchmark", "key", bytes(32))
    clients = {length: envelope_sdk.Client(keyring, frame_length=length) for length in FRAME_LENGTHS}
    messages = {length: client.encrypt(data).ciphertext for length, client in clients.items()}
    bare, sealed = AESGCM(bytes(32)), bytearray(len(data) + 16)

    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        source, target = Path(folder, "source"), Path(folder, "target")
        source.write_bytes(data)
        buffer = memoryview(bytearray(2**20))

        def copy() -> None:
            with source.open("rb", buffering=0) as read, target.open("wb", buffering=0) as write:
                while count := read.readinto(buffer):
                    write.write(buffer[:count])

        def encrypt_file(length: int) -> None:
            with source.open("rb", buffering=0) as read, clients[length].open(target, "wb") as write:
                while count := read.readinto(buffer):
                    write.write(buffer[:count])

        subjects = {"bare": lambda: bare.encrypt_into(bytes(12), data, b"", sealed), "copy": copy}
        for length in FRAME_LENGTHS:
            subjects[f"encrypt {length}"] = lambda length=length: clients[length].encrypt(data)
            subjects[f"decrypt {length}"] = lambda length=length: clients[length].decrypt(messages[length])
            subjects[f"file {length}"] = lambda length=length: encrypt_file(length)
        times = measure(subjects, rounds=options.rounds)

    print(environment())
    bare_ms, copy_ms = median(times["bare"]) * 1e3, median(times["copy"]) * 1e3
    print(f"{options.mib} MiB; bare AES-GCM {bare_ms:.1f} ms, copy {copy_ms:.1f} ms")
    print()
    print("| frame length | encrypt / bare | decrypt / bare | file to file / copy | growth | one byte read, us |")
    print("|---:|---:|---:|---:|---:|---:|")
    for length in FRAME_LENGTHS:
        one = measure({"one": lambda length=length: bare.decrypt(bytes(12), one_frame(bare, length), b"")}, rounds=21)
        growth = (len(messages[length]) - len(data)) / len(data)
        print(
            f"| {length:,} | {ratio(times[f'encrypt {length}'], times['bare']):.2f} "
            f"| {ratio(times[f'decrypt {length}'], times['bare']):.2f} "
            f"| {ratio(times[f'file {length}'], times['copy']):.2f} | {growth:.3%} | {median(one['one']) * 1e6:.1f} |"
        )


_FRAMES: dict[int, bytes] = {}


def one_frame(bare: AESGCM, length: int) -> bytes:
    if length not in _FRAMES:
        _FRAMES[length] = bare.encrypt(bytes(12), bytes(length), b"")
    return _FRAMES[length]


if __name__ == "__main__":
    main()
