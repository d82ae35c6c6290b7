"""A KMS with several Regions and accounts, in memory: real AES, multi-Region keys, and a record of the calls.

It answers what a boto3 client would answer, as far as keyrings look, and its errors are the local KMS's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from envelope_sdk.errors import KmsServiceError
from envelope_sdk.keyrings.kms.arn import KmsArn
from envelope_sdk.primitives.entropy import RandomSource, system_random

ACCOUNT = "111122223333"
OTHER_ACCOUNT = "444455556666"


class Call(NamedTuple):
    """One call, as the service that took it saw it."""

    region: str
    operation: str
    key_id: str
    parameters: Mapping[str, Any]


@dataclass
class Key:
    """One key in one Region; replicas share ``material``."""

    arn: KmsArn
    material: bytes
    allowed: set[str]
    refusal: str | None = None


@dataclass
class World:
    """All Regions and accounts."""

    random: RandomSource = system_random
    keys: dict[str, Key] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)

    def create_key(self, region: str, account: str = ACCOUNT, *, multi_region: bool = False, partition="aws") -> str:
        """Return the ARN of a new key that its own account may use."""
        number = self.random(16).hex()
        return self._add(KmsArn(partition, region, account, "key", f"mrk-{number}" if multi_region else number))

    def replicate(self, arn: str, region: str) -> str:
        """Return the ARN of a replica of a multi-Region key."""
        return self._add(KmsArn.parse(arn).in_region(region), self.keys[arn])

    def _add(self, arn: KmsArn, primary: Key | None = None) -> str:
        material = self.random(32) if primary is None else primary.material
        self.keys[str(arn)] = Key(arn, material, {arn.account})
        return str(arn)

    def allow(self, arn: str, account: str) -> None:
        """Let another account use a key."""
        self.keys[arn].allowed.add(account)

    def refuse(self, arn: str, code: str) -> None:
        """Answer every call with this key with an error."""
        self.keys[arn].refusal = code

    def client(self, region: str, account: str = ACCOUNT) -> RegionalKms:
        """Return a client of an account that asks one Region; as a client supplier, of the first account."""
        return RegionalKms(self, region, account)

    def asked(self) -> list[tuple[str, str]]:
        """Return Region and operation of each call."""
        return [(call.region, call.operation) for call in self.calls]


class RegionalKms:
    """What one account sees of one Region."""

    def __init__(self, world: World, region: str, account: str) -> None:
        self.region = region
        self.account = account
        self._world = world

    def __reduce__(self) -> Any:
        raise TypeError("clients cannot be pickled")

    def generate_data_key(self, **parameters: Any) -> Mapping[str, Any]:
        key = self._taken("GenerateDataKey", parameters)
        plaintext = self._world.random(parameters["NumberOfBytes"])
        return {"Plaintext": plaintext, **self._sealed(key, plaintext, parameters)}

    def encrypt(self, **parameters: Any) -> Mapping[str, Any]:
        key = self._taken("Encrypt", parameters)
        return self._sealed(key, parameters["Plaintext"], parameters)

    def decrypt(self, **parameters: Any) -> Mapping[str, Any]:
        key = self._taken("Decrypt", parameters)
        blob = parameters["CiphertextBlob"]
        name, iv, sealed = blob[:36], blob[36:48], blob[48:]
        if len(iv) != 12 or len(sealed) < 16:
            raise self._error("InvalidCiphertextException", "Decrypt")
        if name.rstrip(b"\0") != key.arn.resource_id.encode():
            raise self._error("IncorrectKeyException", "Decrypt")
        try:
            plaintext = AESGCM(key.material).decrypt(iv, sealed, _bound(parameters["EncryptionContext"]))
        except InvalidTag:
            raise self._error("InvalidCiphertextException", "Decrypt") from None
        return {"Plaintext": plaintext, "KeyId": str(key.arn)}

    def _sealed(self, key: Key, plaintext: bytes, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        iv = self._world.random(12)
        sealed = AESGCM(key.material).encrypt(iv, plaintext, _bound(parameters["EncryptionContext"]))
        name = key.arn.resource_id.encode().ljust(36, b"\0")
        return {"CiphertextBlob": name + iv + sealed, "KeyId": str(key.arn)}

    def _taken(self, operation: str, parameters: Mapping[str, Any]) -> Key:
        key_id = parameters["KeyId"]
        self._world.calls.append(Call(self.region, operation, key_id, parameters))
        arn = self._world.aliases.get(key_id, key_id)
        if not arn.startswith("arn:"):
            arn = f"arn:aws:kms:{self.region}:{self.account}:key/{arn}"
        if KmsArn.parse(arn).region != self.region:
            raise self._error("NotFoundException", operation, f"Invalid arn {KmsArn.parse(arn).region}")
        key = self._world.keys.get(arn)
        if key is None:
            raise self._error("NotFoundException", operation, f"Key '{arn}' does not exist")
        if self.account not in key.allowed:
            raise self._error("AccessDeniedException", operation)
        if key.refusal is not None:
            raise self._error(key.refusal, operation)
        return key

    def _error(self, code: str, operation: str, message: str = "because") -> KmsServiceError:
        error = KmsServiceError(code, message, operation=operation)
        error.response["ResponseMetadata"]["RequestId"] = f"request-{len(self._world.calls)}"
        return error


def _bound(context: Mapping[str, str]) -> bytes:
    return json.dumps(dict(context), sort_keys=True).encode()
