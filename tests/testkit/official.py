"""The vectors in ``tests/vectors/official`` as values; PROVENANCE.md beside them says where they come from."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from testkit.branch_keys import FixedStore
from testkit.keyrings import CountingDataKeyring, NullDataKeyring, StaticDataKeyring

from envelope_sdk.formats import AlgorithmSuite
from envelope_sdk.keyrings import (
    HierarchicalKeyring,
    MultiKeyring,
    RawAesKeyring,
    RawEcdhKeyring,
    RawRsaKeyring,
    RsaPadding,
)
from envelope_sdk.materials import Keyring

DIRECTORY = Path(__file__).parent.parent / "vectors" / "official"
FILES = ("commitment", "esdk-cross-language", "esdk-net-4.0.0-invalid", "esdk-net-4.0.0-valid", "message-only")


@dataclass(frozen=True)
class Vector:
    """One message with what has to come of it."""

    file: str
    fields: dict[str, Any]

    @property
    def id(self) -> str:
        return f"{self.file}:{self.fields['suite']}:{self.fields['key']['type']}:{self.fields['id']}"

    @property
    def suite(self) -> AlgorithmSuite:
        suite = AlgorithmSuite.from_id(int(self.fields["suite"], 16))
        assert suite is not None
        return suite

    @property
    def message(self) -> bytes:
        return base64.urlsafe_b64decode(self.fields["message"])

    @property
    def context(self) -> dict[str, str] | None:
        context: dict[str, str] | None = self.fields.get("reproduced_encryption_context")
        return context

    @property
    def digest_and_length(self) -> tuple[str, int]:
        return self.fields["plaintext_sha256"], self.fields["plaintext_length"]

    def keyring(self) -> Keyring:
        return keyring_of(self.fields["key"])


@cache
def load(file: str) -> tuple[Vector, ...]:
    with (DIRECTORY / f"{file}.jsonl").open(encoding="utf-8") as lines:
        return tuple(Vector(file, json.loads(line)) for line in lines)


def vectors(*, expect: str, offline: bool) -> list[Vector]:
    every = [vector for file in FILES for vector in load(file)]
    return [vector for vector in every if (vector.fields["expect"], vector.fields["offline"]) == (expect, offline)]


@cache
def known_answers() -> dict[str, list[dict[str, Any]]]:
    answers: dict[str, list[dict[str, Any]]] = json.loads((DIRECTORY / "known-answers.json").read_text("utf-8"))
    return answers


def decoded(value: dict[str, str]) -> bytes:
    return base64.urlsafe_b64decode(value["base64url"])


def keyring_of(key: dict[str, Any]) -> Keyring:
    match key["type"]:
        case "raw-aes":
            return RawAesKeyring(key["namespace"], key["name"], decoded(key["key"]))
        case "raw-rsa":
            padding = "PKCS1" if key["padding"] == "pkcs1" else f"OAEP_{key['hash'].upper()}"
            return RawRsaKeyring(
                key["namespace"], key["name"], RsaPadding(padding), private_key=decoded(key["private_pem"])
            )
        case "multi":
            generator = None if key["generator"] is None else keyring_of(key["generator"])
            return MultiKeyring(generator, [keyring_of(child) for child in key["children"]])
        case "raw-ecdh":
            private = decoded(key["private_pem"])
            if key["peer_public_der"] is None:
                return RawEcdhKeyring.discovery(private)
            return RawEcdhKeyring.static(private, decoded(key["peer_public_der"]))
        case "hierarchy":
            store = FixedStore(key["branch_key_id"], key["version"], decoded(key["branch_key"]))
            return HierarchicalKeyring(store, key["branch_key_id"], ttl_seconds=60)
        case "static-dek":
            return StaticDataKeyring(decoded(key["dek"]))
        case "null-dek":
            return NullDataKeyring()
        case "counting-dek":
            return CountingDataKeyring()
        case other:
            raise AssertionError(f"no keyring for {other}")
