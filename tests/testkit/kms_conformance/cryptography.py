"""Encryption, data keys, signatures, MACs: what binds what, and what is refused."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import partial
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key
from testkit.kms_conformance.calls import AGREEMENT, DRY_RUNS, KINDS, MAC, SIGNING, SYMMETRIC, method, parameters
from testkit.kms_conformance.lab import UNKNOWN_ID, Case, Lab, outcome, said

_RSA = ("RSA_2048", "ENCRYPT_DECRYPT")
_RSA_SIGNING = ("RSA_2048", "SIGN_VERIFY")
_USAGES = {SYMMETRIC: "a symmetric key", SIGNING: "a key that signs", MAC: "an HMAC key", AGREEMENT: "a key for ECDH"}
_CONTEXTS: list[tuple[str, dict[str, str], dict[str, str], str]] = [
    ("the context it was made with", {"a": "b", "c": "d"}, {"c": "d", "a": "b"}, "ok"),
    ("no context", {"a": "b"}, {}, "InvalidCiphertextException"),
    ("a context where there was none", {}, {"a": "b"}, "InvalidCiphertextException"),
    ("another value", {"a": "b"}, {"a": "c"}, "InvalidCiphertextException"),
    ("another name", {"a": "b"}, {"c": "b"}, "InvalidCiphertextException"),
    ("another case", {"a": "b"}, {"A": "b"}, "InvalidCiphertextException"),
    ("a pair too few", {"a": "b", "c": "d"}, {"a": "b"}, "InvalidCiphertextException"),
    ("a pair too many", {"a": "b"}, {"a": "b", "c": "d"}, "InvalidCiphertextException"),
    ("name and value parted elsewhere", {"ab": "c"}, {"a": "bc"}, "InvalidCiphertextException"),
    ("two pairs run together", {"a": "b", "c": "d"}, {"a": "bcd"}, "InvalidCiphertextException"),
    ("the SDK's reserved pair changed", {"aws-crypto-public-key": "b"}, {}, "InvalidCiphertextException"),
]
_DATA_KEYS: list[tuple[str, dict[str, Any], str]] = [
    ("KeySpec and NumberOfBytes both", {"KeySpec": "AES_256", "NumberOfBytes": 32}, "ValidationException"),
    ("neither KeySpec nor NumberOfBytes", {}, "ValidationException"),
    ("1024 bytes", {"NumberOfBytes": 1024}, "ok"),
    ("1025 bytes", {"NumberOfBytes": 1025}, "ValidationException"),
    ("no bytes", {"NumberOfBytes": 0}, "ValidationException"),
    ("a KeySpec there is not", {"KeySpec": "AES_192"}, "ValidationException"),
]


def cases() -> Iterator[Case]:
    """Return the questions."""
    yield from _encryption()
    yield from _data_keys()
    yield from _usages()
    yield from _signatures()
    yield from _rsa()
    for operation in DRY_RUNS:
        ask = partial(_ask_dry_run, operation)
        yield Case(operation, "with DryRun", "DryRunOperationException", "API reference, DryRun", ask)
        if operation != "DeriveSharedSecret":
            ask = partial(_ask_dry_run_unknown, operation)
            yield Case(operation, "with DryRun and an unknown key", "NotFoundException", "API reference, DryRun", ask)


def _encryption() -> Iterator[Case]:
    context_source = "developer guide, Encryption context; recorded"
    for name, given, later, expected in _CONTEXTS:
        yield Case("Decrypt", f"with {name}", expected, context_source, partial(_ask_context, given, later))
    sizes = [(0, "ValidationException"), (1, "ok"), (4096, "ok"), (4097, "ValidationException")]
    for size, expected in sizes:
        yield Case("Encrypt", f"{size} bytes", expected, "API reference, Plaintext", partial(_ask_size, size))
    decrypt = "API reference, Decrypt; recorded"
    for position in (0, 40, 70, -1):
        ask = partial(_ask_flipped, position)
        yield Case("Decrypt", f"a blob with byte {position} flipped", "InvalidCiphertextException", decrypt, ask)
    unknown = "recorded: The ciphertext refers to a customer master key that does not exist"
    refused = "AccessDeniedException"
    yield Case("Decrypt", "a blob with its key's name changed", refused, unknown, partial(_ask_flipped, 5))
    yield Case("Decrypt", "a blob of another Region", refused, unknown, _ask_decrypt_elsewhere)
    for length in (1, 60, -1):
        ask = partial(_ask_cut, length)
        yield Case("Decrypt", f"a blob cut at {length}", "InvalidCiphertextException", decrypt, ask)
    yield Case("Decrypt", "naming another key than the blob's", "IncorrectKeyException", decrypt, _ask_wrong_key)
    yield Case("Decrypt", "naming the key by its alias", "ok", decrypt, _ask_alias)
    yield Case("Decrypt", "shows the plaintext in the blob", "no", "developer guide, Cryptography", _ask_clear)
    yield Case("Encrypt", "makes the same blob twice", "no", "developer guide, Cryptography", _ask_twice)
    yield Case("ReEncrypt", "naming another source key", "IncorrectKeyException", decrypt, _ask_re_wrong_key)
    yield Case("ReEncrypt", "binds the destination context", "yes", "API reference, ReEncrypt", _ask_re_context)


def _data_keys() -> Iterator[Case]:
    for operation in ("GenerateDataKey", "GenerateDataKeyWithoutPlaintext"):
        for name, given, expected in _DATA_KEYS:
            ask = partial(_ask_data_key, operation, given)
            yield Case(operation, name, expected, f"API reference, {operation}", ask)
    size = "measured on blobs of AWS"
    yield Case("GenerateDataKey", "length of the blob of 32 bytes", "184", size, _ask_blob_length)
    for number, expected in ((None, "ValidationException"), (0, "ValidationException"), (1, "ok"), (1024, "ok")):
        ask = partial(_ask_random, number)
        yield Case("GenerateRandom", f"{number} bytes", expected, "recorded", ask)
    yield Case("GenerateRandom", "1025 bytes", "ValidationException", "recorded", partial(_ask_random, 1025))


def _usages() -> Iterator[Case]:
    source = "API reference, InvalidKeyUsageException; recorded"
    for operation, right in KINDS.items():
        if operation in ("Decrypt", "GetPublicKey", "ReEncrypt"):
            continue
        for kind, name in _USAGES.items():
            if kind != right:
                ask = partial(_ask_usage, operation, kind)
                yield Case(operation, f"with {name}", "InvalidKeyUsageException", source, ask)
    for kind in (SYMMETRIC, MAC):
        ask = partial(_ask_usage, "GetPublicKey", kind)
        name = f"with {_USAGES[kind]}"
        yield Case("GetPublicKey", name, "UnsupportedOperationException", "API reference, GetPublicKey", ask)


def _signatures() -> Iterator[Case]:
    verify = "API reference, Verify; recorded"
    yield Case("Verify", "a signature of another message", "KMSInvalidSignatureException", verify, _ask_bad_signature)
    yield Case("Verify", "a signature that is none", "KMSInvalidSignatureException", verify, _ask_no_signature)
    yield Case("VerifyMac", "a MAC of another message", "KMSInvalidMacException", verify, _ask_bad_mac)
    sign = "API reference, MessageType; recorded"
    yield Case("Sign", "a digest of another length", "ValidationException", sign, partial(_ask_digest, b"x" * 31))
    yield Case("Verify", "a digest's signature for its message", "ok", sign, _ask_digest_and_message)
    salt = "API reference, Sign (PSS salt as long as the digest)"
    yield Case("Sign", "PSS signature that others verify", "yes", salt, _ask_pss)
    yield Case("Sign", "4096 bytes", "ok", sign, partial(_ask_sign_size, 4096))
    yield Case("Sign", "4097 bytes", "ValidationException", sign, partial(_ask_sign_size, 4097))
    algorithm = "API reference, SigningAlgorithms of a key"
    yield Case("Sign", "an algorithm of another curve", "InvalidKeyUsageException", algorithm, _ask_other_curve)
    mac = "API reference, MacAlgorithms of a key; recorded"
    yield Case("GenerateMac", "an algorithm of another key", "InvalidKeyUsageException", mac, _ask_other_mac)
    yield Case("GenerateMac", "an algorithm there is not", "ValidationException", mac, _ask_no_mac)


def _rsa() -> Iterator[Case]:
    source = "API reference, Encrypt; recorded"
    for algorithm, most in (("RSAES_OAEP_SHA_1", 214), ("RSAES_OAEP_SHA_256", 190)):
        for size, expected in ((most, "ok"), (most + 1, "ValidationException")):
            ask = partial(_ask_rsa, algorithm, size)
            yield Case("Encrypt", f"{size} bytes with {algorithm} and RSA_2048", expected, source, ask)
    yield Case("Encrypt", "with an RSA key and no algorithm", "InvalidKeyUsageException", source, _ask_rsa_default)
    yield Case("Decrypt", "what was encrypted with the public key alone", "yes", source, _ask_rsa_offline)
    yield Case("Encrypt", "length of an RSA_2048 ciphertext", "256", source, _ask_rsa_length)


def _encrypted(lab: Lab, **parameters: Any) -> bytes:
    return lab.kms.encrypt(KeyId=lab.key(), **{"Plaintext": b"plaintext", **parameters})["CiphertextBlob"]


def _ask_context(given: dict[str, str], later: dict[str, str], lab: Lab) -> str:
    blob = _encrypted(lab, EncryptionContext=given)
    return outcome(lambda: lab.kms.decrypt(CiphertextBlob=blob, EncryptionContext=later))


def _ask_size(size: int, lab: Lab) -> str:
    return outcome(lambda: _encrypted(lab, Plaintext=bytes(size)))


def _ask_flipped(position: int, lab: Lab) -> str:
    blob = bytearray(_encrypted(lab))
    blob[position] ^= 1
    return outcome(lambda: lab.kms.decrypt(CiphertextBlob=bytes(blob)))


def _ask_cut(length: int, lab: Lab) -> str:
    blob = _encrypted(lab)[:length]
    return outcome(lambda: lab.kms.decrypt(CiphertextBlob=blob))


def _ask_decrypt_elsewhere(lab: Lab) -> str:
    blob = _encrypted(lab)
    return outcome(lambda: lab.elsewhere().decrypt(CiphertextBlob=blob))


def _ask_wrong_key(lab: Lab) -> str:
    other = lab.key(state="Enabled, another")
    blob = _encrypted(lab)
    return outcome(lambda: lab.kms.decrypt(CiphertextBlob=blob, KeyId=other))


def _ask_alias(lab: Lab) -> str:
    alias = lab.alias()
    lab.kms.create_alias(AliasName=alias, TargetKeyId=lab.key())
    blob = _encrypted(lab)
    return outcome(lambda: lab.kms.decrypt(CiphertextBlob=blob, KeyId=alias))


def _ask_clear(lab: Lab) -> str:
    return said(b"plaintext" in _encrypted(lab))


def _ask_twice(lab: Lab) -> str:
    return said(_encrypted(lab) == _encrypted(lab))


def _ask_re_wrong_key(lab: Lab) -> str:
    given = {"CiphertextBlob": _encrypted(lab), "DestinationKeyId": lab.key()}
    return outcome(lambda: lab.kms.re_encrypt(**given, SourceKeyId=lab.key(state="Enabled, another")))


def _ask_re_context(lab: Lab) -> str:
    given = {"CiphertextBlob": _encrypted(lab), "DestinationKeyId": lab.key()}
    blob = lab.kms.re_encrypt(**given, DestinationEncryptionContext={"a": "b"})["CiphertextBlob"]
    without = outcome(lambda: lab.kms.decrypt(CiphertextBlob=blob))
    within = outcome(lambda: lab.kms.decrypt(CiphertextBlob=blob, EncryptionContext={"a": "b"}))
    return said((without, within) == ("InvalidCiphertextException", "ok"))


def _ask_data_key(operation: str, given: dict[str, Any], lab: Lab) -> str:
    return outcome(lambda: method(lab.kms, operation)(KeyId=lab.key(), **given))


def _ask_blob_length(lab: Lab) -> str:
    return str(len(lab.kms.generate_data_key(KeyId=lab.key(), KeySpec="AES_256")["CiphertextBlob"]))


def _ask_random(number: int | None, lab: Lab) -> str:
    given = {} if number is None else {"NumberOfBytes": number}
    return outcome(lambda: lab.kms.generate_random(**given))


def _ask_usage(operation: str, kind: tuple[str, str], lab: Lab) -> str:
    given = parameters(lab, operation, lab.key(*KINDS[operation])) | {"KeyId": lab.key(*kind)}
    return outcome(lambda: method(lab.kms, operation)(**given))


def _ask_dry_run(operation: str, lab: Lab) -> str:
    given = parameters(lab, operation, lab.key(*KINDS[operation]))
    return outcome(lambda: method(lab.kms, operation)(**given, DryRun=True))


def _ask_dry_run_unknown(operation: str, lab: Lab) -> str:
    given = parameters(lab, operation, lab.key(*KINDS[operation]))
    name = "DestinationKeyId" if operation == "ReEncrypt" else "KeyId"
    return outcome(lambda: method(lab.kms, operation)(**given | {name: UNKNOWN_ID}, DryRun=True))


def _ask_bad_signature(lab: Lab) -> str:
    given = parameters(lab, "Verify", lab.key(*SIGNING))
    return outcome(lambda: lab.kms.verify(**given | {"Message": b"another"}))


def _ask_no_signature(lab: Lab) -> str:
    given = parameters(lab, "Verify", lab.key(*SIGNING))
    return outcome(lambda: lab.kms.verify(**given | {"Signature": b"none"}))


def _ask_bad_mac(lab: Lab) -> str:
    given = parameters(lab, "VerifyMac", lab.key(*MAC))
    return outcome(lambda: lab.kms.verify_mac(**given | {"Message": b"another"}))


def _ask_digest(digest: bytes, lab: Lab) -> str:
    given = {"SigningAlgorithm": "ECDSA_SHA_256", "MessageType": "DIGEST"}
    return outcome(lambda: lab.kms.sign(KeyId=lab.key(*SIGNING), Message=digest, **given))


def _ask_digest_and_message(lab: Lab) -> str:
    given = {"KeyId": lab.key(*SIGNING), "SigningAlgorithm": "ECDSA_SHA_256"}
    digest = hashlib.sha256(b"message").digest()
    signature = lab.kms.sign(**given, Message=digest, MessageType="DIGEST")["Signature"]

    def verify() -> None:
        answer = lab.kms.verify(**given, Message=b"message", Signature=signature)
        if not answer["SignatureValid"]:
            raise ValueError("answered as invalid")

    return outcome(verify)


def _ask_pss(lab: Lab) -> str:
    key_id = lab.key(*_RSA_SIGNING)
    signature = lab.kms.sign(KeyId=key_id, Message=b"x", SigningAlgorithm="RSASSA_PSS_SHA_256")["Signature"]
    public: Any = load_der_public_key(lab.kms.get_public_key(KeyId=key_id)["PublicKey"])
    try:
        public.verify(signature, b"x", padding.PSS(padding.MGF1(SHA256()), SHA256.digest_size), SHA256())
    except InvalidSignature:
        return "no"
    return "yes"


def _ask_sign_size(size: int, lab: Lab) -> str:
    return outcome(lambda: lab.kms.sign(KeyId=lab.key(*SIGNING), Message=bytes(size), SigningAlgorithm="ECDSA_SHA_256"))


def _ask_other_curve(lab: Lab) -> str:
    return outcome(lambda: lab.kms.sign(KeyId=lab.key(*SIGNING), Message=b"x", SigningAlgorithm="ECDSA_SHA_384"))


def _ask_other_mac(lab: Lab) -> str:
    return outcome(lambda: lab.kms.generate_mac(KeyId=lab.key(*MAC), Message=b"x", MacAlgorithm="HMAC_SHA_512"))


def _ask_no_mac(lab: Lab) -> str:
    return outcome(lambda: lab.kms.generate_mac(KeyId=lab.key(*MAC), Message=b"x", MacAlgorithm="INVALID"))


def _ask_rsa(algorithm: str, size: int, lab: Lab) -> str:
    given = {"KeyId": lab.key(*_RSA), "EncryptionAlgorithm": algorithm}
    return outcome(lambda: lab.kms.encrypt(**given, Plaintext=bytes(size)))


def _ask_rsa_default(lab: Lab) -> str:
    return outcome(lambda: lab.kms.encrypt(KeyId=lab.key(*_RSA), Plaintext=b"x"))


def _ask_rsa_offline(lab: Lab) -> str:
    key_id = lab.key(*_RSA)
    public: Any = load_der_public_key(lab.kms.get_public_key(KeyId=key_id)["PublicKey"])
    data = public.encrypt(b"x", padding.OAEP(padding.MGF1(SHA256()), SHA256(), None))

    def decrypt() -> None:
        answer = lab.kms.decrypt(KeyId=key_id, CiphertextBlob=data, EncryptionAlgorithm="RSAES_OAEP_SHA_256")
        if answer["Plaintext"] != b"x":
            raise ValueError("another plaintext")

    return said(outcome(decrypt) == "ok")


def _ask_rsa_length(lab: Lab) -> str:
    given = {"KeyId": lab.key(*_RSA), "EncryptionAlgorithm": "RSAES_OAEP_SHA_256"}
    return str(len(lab.kms.encrypt(**given, Plaintext=b"x")["CiphertextBlob"]))
