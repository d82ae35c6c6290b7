"""A KMS of asymmetric keys with real cryptography, for what mocks of AWS do not do: key agreement and RSA decryption.

Its methods have boto3's names, parameters and errors, so it stands in for ``boto3.client("kms")``.
"""
# ruff: noqa: N803

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from botocore.config import Config
from botocore.exceptions import ClientError
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from envelope_sdk.primitives.rsa import RsaPadding

REGION = "eu-west-1"
ARN_START = f"arn:aws:kms:{REGION}:111122223333:key/"
CURVES: dict[str, ec.EllipticCurve] = {
    "ECC_NIST_P256": ec.SECP256R1(),
    "ECC_NIST_P384": ec.SECP384R1(),
    "ECC_NIST_P521": ec.SECP521R1(),
}
PADDINGS = {"RSAES_OAEP_SHA_1": RsaPadding.OAEP_SHA1, "RSAES_OAEP_SHA_256": RsaPadding.OAEP_SHA256}

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


class AsymmetricKms:
    """Keys that never leave it, and a record of the calls.

    Attributes:
        calls: name and parameters of every call, in order.
        answers: what the answers of a method say instead, by its name; ``None`` as a value leaves a field out.
        errors: the error code that a method fails with, by its name.
        meta: what a boto3 client tells of itself.
    """

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.answers: dict[str, dict[str, Any]] = {}
        self.errors: dict[str, str] = {}
        self.meta = SimpleNamespace(region_name=REGION, config=Config())
        self._keys: dict[str, tuple[str, str, PrivateKey]] = {}

    def add_key(self, key: PrivateKey, usage: str, key_id: str | None = None) -> str:
        """Import a private key and return its ARN."""
        arn = f"{ARN_START}{key_id or uuid.uuid4()}"
        if isinstance(key, rsa.RSAPrivateKey):
            spec = f"RSA_{key.key_size}"
        else:
            spec = next((spec for spec, curve in CURVES.items() if curve.name == key.curve.name), key.curve.name)
        self._keys[arn] = (spec, usage, key)
        return arn

    def create_key(self, *, KeySpec: str, KeyUsage: str) -> dict[str, Any]:
        if KeySpec in CURVES:
            key: PrivateKey = ec.generate_private_key(CURVES[KeySpec])
        else:
            key = rsa.generate_private_key(65_537, int(KeySpec.removeprefix("RSA_")))
        return {"KeyMetadata": {"Arn": self.add_key(key, KeyUsage)}}

    def public_key(self, arn: str) -> bytes:
        """Return what GetPublicKey returns, without a call."""
        return self._keys[arn][2].public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    def called(self) -> list[str]:
        """Return the names of the methods called."""
        return [name for name, _ in self.calls]

    def get_public_key(self, **parameters: Any) -> Mapping[str, Any]:
        return self._answer("get_public_key", parameters, self._get_public_key)

    def derive_shared_secret(self, **parameters: Any) -> Mapping[str, Any]:
        return self._answer("derive_shared_secret", parameters, self._derive_shared_secret)

    def decrypt(self, **parameters: Any) -> Mapping[str, Any]:
        return self._answer("decrypt", parameters, self._decrypt)

    def _answer(self, name: str, parameters: dict[str, Any], method: Callable[..., dict[str, Any]]) -> dict[str, Any]:
        self.calls.append((name, parameters))
        operation = "".join(word.title() for word in name.split("_"))
        try:
            answer = method(**parameters) | self.answers.get(name, {})
        except _Refused as refused:
            raise _client_error(str(refused), operation) from None
        if name in self.errors:
            raise _client_error(self.errors[name], operation)
        return {field: value for field, value in answer.items() if value is not None}

    def _get_public_key(self, *, KeyId: str, GrantTokens: Sequence[str] = ()) -> dict[str, Any]:
        arn, spec, usage, key = self._found(KeyId)
        public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return {"KeyId": arn, "KeySpec": spec, "KeyUsage": usage, "PublicKey": public}

    def _derive_shared_secret(
        self, *, KeyId: str, KeyAgreementAlgorithm: str, PublicKey: bytes, GrantTokens: Sequence[str] = ()
    ) -> dict[str, Any]:
        arn, _, usage, key = self._found(KeyId)
        if usage != "KEY_AGREEMENT" or not isinstance(key, ec.EllipticCurvePrivateKey):
            raise _Refused("InvalidKeyUsageException")
        try:
            peer = load_der_public_key(PublicKey)
            assert isinstance(peer, ec.EllipticCurvePublicKey)
            secret = key.exchange(ec.ECDH(), peer)
        except ValueError:
            raise _Refused("ValidationException") from None
        return {"KeyId": arn, "SharedSecret": secret, "KeyAgreementAlgorithm": KeyAgreementAlgorithm}

    def _decrypt(
        self, *, CiphertextBlob: bytes, KeyId: str, EncryptionAlgorithm: str, GrantTokens: Sequence[str] = ()
    ) -> dict[str, Any]:
        arn, _, usage, key = self._found(KeyId)
        if usage != "ENCRYPT_DECRYPT" or not isinstance(key, rsa.RSAPrivateKey):
            raise _Refused("InvalidKeyUsageException")
        try:
            plaintext = key.decrypt(CiphertextBlob, PADDINGS[EncryptionAlgorithm].scheme())
        except ValueError:
            raise _Refused("InvalidCiphertextException") from None
        return {"KeyId": arn, "Plaintext": plaintext, "EncryptionAlgorithm": EncryptionAlgorithm}

    def _found(self, key_id: str) -> tuple[str, str, str, PrivateKey]:
        arn = key_id if key_id.startswith("arn:") else f"{ARN_START}{key_id}"
        if arn not in self._keys:
            raise _Refused("NotFoundException")
        return arn, *self._keys[arn]


class _Refused(Exception):
    """The code of the error to answer with."""


def _client_error(code: str, operation: str) -> ClientError:
    error = {"Error": {"Code": code, "Message": "refused"}, "ResponseMetadata": {"HTTPStatusCode": 400}}
    return ClientError(error, operation)  # type: ignore[arg-type]
