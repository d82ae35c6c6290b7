"""A root key from a passphrase: Argon2id (RFC 9106), or scrypt (RFC 7914) where OpenSSL is too old for it.

Salt and cost are kept in the database, which an attacker may have written: the costs read from it are capped, so that
opening it cannot be made to take all memory or hours of time.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from typing import Any, Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from envelope_sdk.errors import KeyStoreError, UsageError
from envelope_sdk.local_kms.store.root_key import ROOT_KEY_LENGTH, RootKey
from envelope_sdk.primitives.entropy import RandomSource

__all__ = ["Derivation", "Passphrase"]

_SALT_LENGTH: Final = 16
_COSTS: Final[dict[str, dict[str, tuple[int, int]]]] = {
    # Name: (what is used, the most that is taken from a file). Argon2id: RFC 9106 section 4, second recommended
    # option; memory in KiB. scrypt: RFC 7914 section 2 leaves the choice; 128 MiB and about a third of a second.
    "argon2id": {"iterations": (3, 20), "lanes": (4, 16), "memory_cost": (65536, 1048576)},
    "scrypt": {"n": (131072, 1048576), "r": (8, 16), "p": (1, 8)},
}


class Passphrase:
    """A passphrase to derive the root key from, as ``root_key=`` of ``LocalKms.open``. Its repr does not show it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        """Take the passphrase.

        Raises:
            UsageError: it is empty, or UTF-8 has no form for it.
        """
        if not text:
            raise UsageError("the passphrase is empty")
        if not _encodable(text):
            raise UsageError("the passphrase has to be text that UTF-8 can express")
        self._text = text

    def __repr__(self) -> str:
        return "Passphrase(<secret>)"

    def __reduce__(self) -> str:
        raise TypeError("a passphrase cannot be pickled or copied")

    def derive(self, derivation: Derivation) -> RootKey:
        """Return the root key; takes a tenth to half of a second, on purpose."""
        return RootKey(bytearray(derivation.derive(self._text.encode())), "the passphrase")


@dataclass(frozen=True, slots=True)
class Derivation:
    """How a root key is derived; no secret.

    Attributes:
        name: ``argon2id`` or ``scrypt``.
        salt: random bytes.
        costs: the function's cost parameters.
    """

    name: str
    salt: bytes
    costs: dict[str, int]

    @classmethod
    def new(cls, random: RandomSource, name: str | None = None) -> Derivation:
        """Return one for a new database: the function ``name``, or the best one there is here."""
        chosen = name or ("argon2id" if _argon2_available() else "scrypt")
        costs = {cost: value for cost, (value, _) in _COSTS[chosen].items()}
        return cls(chosen, random(_SALT_LENGTH), costs)

    def to_json(self) -> str:
        """Return it as text for the database."""
        return json.dumps({"name": self.name, "salt": base64.b64encode(self.salt).decode(), "costs": self.costs})

    @classmethod
    def from_json(cls, text: str) -> Derivation:
        """Read what :meth:`to_json` wrote.

        Raises:
            KeyStoreError: it is something else, or a cost is beyond what is taken from a file.
        """
        try:
            value: Any = json.loads(text)
            derivation = cls(value["name"], base64.b64decode(value["salt"], validate=True), dict(value["costs"]))
            allowed = _COSTS[derivation.name]
        except (ValueError, TypeError, KeyError, RecursionError, binascii.Error):
            raise KeyStoreError("the key store's record of how its passphrase is used is damaged") from None
        for cost, (_, most) in allowed.items():
            found: object = derivation.costs.get(cost)
            if type(found) is not int or not 1 <= found <= most:
                raise KeyStoreError(f"the key store asks for {derivation.name} {cost}={found!r}: 1 to {most} is taken")
        return derivation

    def derive(self, secret: bytes) -> bytes:
        """Return 32 bytes.

        Raises:
            KeyStoreError: this installation's OpenSSL cannot do it.
        """
        costs = self.costs
        try:
            if self.name == "scrypt":
                kdf: Scrypt | Argon2id = Scrypt(self.salt, ROOT_KEY_LENGTH, n=costs["n"], r=costs["r"], p=costs["p"])
            else:
                kdf = Argon2id(
                    salt=self.salt,
                    length=ROOT_KEY_LENGTH,
                    iterations=costs["iterations"],
                    lanes=costs["lanes"],
                    memory_cost=costs["memory_cost"],
                )
            return kdf.derive(secret)
        except (UnsupportedAlgorithm, ValueError):
            raise KeyStoreError(f"{self.name} with the costs recorded does not run on this installation") from None


def _encodable(text: str) -> bool:
    # A function of its own, so that the error raised on its answer does not carry this one, which holds the text.
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _argon2_available() -> bool:
    try:
        Argon2id(salt=bytes(_SALT_LENGTH), length=ROOT_KEY_LENGTH, iterations=1, lanes=1, memory_cost=8)
    except UnsupportedAlgorithm:
        return False
    return True
