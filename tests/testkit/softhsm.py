"""Tokens of SoftHSM 2, which are folders: what stands for a hardware security module in tests."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

PIN = "8317-user"
SO_PIN = "9926-officer"

_LIBRARIES = (
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
    "/opt/homebrew/lib/softhsm/libsofthsm2.so",
)


def library_path() -> str:
    """Return where the library is; skip the test that asks where there is none."""
    found = [path for path in _LIBRARIES if Path(path).is_file()]
    if not found or shutil.which("softhsm2-util") is None:
        pytest.skip("SoftHSM 2 is not installed (Debian: apt-get install softhsm2)")
    return found[0]


def make_tokens(directory: Path, *labels: str, settings: str = "") -> dict[str, str]:
    """Make tokens below ``directory``, and return the environment in which SoftHSM finds them."""
    library_path()
    (directory / "tokens").mkdir()
    configuration = directory / "softhsm2.conf"
    configuration.write_text(
        f"directories.tokendir = {directory / 'tokens'}\nobjectstore.backend = file\nlog.level = ERROR\n{settings}\n"
    )
    environment = {"SOFTHSM2_CONF": str(configuration)}
    for label in labels:
        command = ["softhsm2-util", "--init-token", "--free", "--label", label, "--pin", PIN, "--so-pin", SO_PIN]
        subprocess.run(command, env={**os.environ, **environment}, check=True, capture_output=True)
    return environment


class Vault:
    """The tokens of this process, and the way to them that needs none of the code under test."""

    def __init__(self) -> None:
        self.library = library_path()

    def tokens(self, label: str) -> list[Any]:
        import pkcs11

        return [slot.get_token() for slot in pkcs11.lib(self.library).get_slots() if slot.get_token().label == label]

    def session(self, label: str) -> Any:
        """Return a new session with the first token of this label, logged in.

        A login is everybody's in the process. Closing the session that logged in logs everybody out.
        """
        import pkcs11

        (token, *_) = self.tokens(label)
        try:
            return token.open(rw=True, user_pin=PIN)
        except pkcs11.exceptions.UserAlreadyLoggedIn:
            return token.open(rw=True)

    @contextmanager
    def logged_in(self, label: str) -> Iterator[Any]:
        """Log in to a token that nobody is logged in to, and out again."""
        (token, *_) = self.tokens(label)
        with token.open(rw=True, user_pin=PIN) as session:
            yield session

    def make_key(self, token: str, label: str, key_id: bytes = b"", bits: int = 256, **attributes: bool) -> Any:
        """Make an AES key that stays on the token; ``attributes`` are named as in PKCS#11, without ``CKA_``."""
        import pkcs11

        template = {pkcs11.Attribute[name]: value for name, value in attributes.items()}
        session = self.session(token)
        return session.generate_key(pkcs11.KeyType.AES, bits, label=label, id=key_id, store=True, template=template)

    def find_key(self, token: str, label: str) -> Any:
        return self.session(token).get_key(label=label)


class Asked:
    """Supplies a PIN and counts how often it is asked for."""

    def __init__(self, pin: str) -> None:
        self._pin = pin
        self.times = 0

    def __call__(self) -> str:
        self.times += 1
        return self._pin
