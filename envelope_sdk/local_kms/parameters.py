"""Checking a call's parameters against the API's model, with AWS's words.

AWS checks all constraints first and reports every one that fails in one text. A value of the wrong type is reported at
once, and so is a parameter that the operation does not have: nothing a caller says is ignored.

Source of the numbers and enumerations: the service model (2014-11-01) as botocore 1.44 has it. AWS prints enumerations
in an order of its own; where that is recorded this has it, and otherwise the model's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, cast

from envelope_sdk.errors import KmsServiceError
from envelope_sdk.local_kms import faults

__all__ = [
    "DATA_KEY_PAIR_SPECS",
    "DATA_KEY_SPECS",
    "DRY_RUN_MODIFIERS",
    "ENCAPSULATION_ALGORITHMS",
    "ENCRYPTION_ALGORITHMS",
    "EXPIRATION_MODELS",
    "GRANT_OPERATIONS",
    "IMPORT_TYPES",
    "INCLUDE_KEY_MATERIAL",
    "KEY_AGREEMENT_ALGORITHMS",
    "KEY_USAGES",
    "LISTED_DATA_KEY_SPECS",
    "MAC_ALGORITHMS",
    "MAX_DESCRIPTION",
    "MAX_GRANT_TOKEN",
    "MAX_KEY_ID",
    "MAX_PUBLIC_KEY",
    "MAX_TAG_KEY",
    "MESSAGE_TYPES",
    "ORIGINS",
    "RESOURCE_OWNERS",
    "SIGNING_ALGORITHMS",
    "WRAPPING_ALGORITHMS",
    "WRAPPING_KEY_SPECS",
    "Parameters",
]

MAX_KEY_ID: Final = 2048
"""Characters of a ``KeyId`` (KeyIdType)."""

KEY_USAGES: Final = (
    *("ENCRYPT_DECRYPT", "SIGN_VERIFY", "GENERATE_VERIFY_MAC", "KEY_AGREEMENT", "ENCAPSULATE_DECAPSULATE"),
)
"""``KeyUsage`` of CreateKey."""

MAX_DESCRIPTION: Final = 8192
"""Characters of a ``Description`` (DescriptionType)."""

MAX_TAG_KEY: Final = 128
"""Characters of a ``TagKey`` (TagKeyType)."""

RESOURCE_OWNERS: Final = ("SELF", "OTHER_ACCOUNTS_VIA_RAM")
"""``ResourceOwners`` of ListKeys."""

ORIGINS: Final = ("AWS_KMS", "EXTERNAL", "AWS_CLOUDHSM", "EXTERNAL_KEY_STORE")
"""``Origin`` of CreateKey."""

ENCRYPTION_ALGORITHMS: Final = ("RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256", "SM2PKE", "SYMMETRIC_DEFAULT")
"""``EncryptionAlgorithm`` of Encrypt, Decrypt and ReEncrypt."""

DRY_RUN_MODIFIERS: Final = ("IGNORE_CIPHERTEXT",)
"""``DryRunModifiers`` of Decrypt and ReEncrypt."""

DATA_KEY_SPECS: Final = ("AES_256", "AES_128")
"""``KeySpec`` of GenerateDataKey."""

LISTED_DATA_KEY_SPECS: Final = (
    *("RSA_2048", "RSA_3072", "RSA_4096", "ECC_NIST_P256", "ECC_NIST_P384", "ECC_NIST_P521", "ECC_SECG_P256K1"),
    *("ECC_NIST_EDWARDS25519", "SYMMETRIC_DEFAULT", "HMAC_224", "HMAC_256", "HMAC_384", "HMAC_512", "SM2"),
    *("ML_DSA_44", "ML_DSA_65", "ML_DSA_87"),
)
"""What AWS says that ``KeySpec`` of GenerateDataKey can be: other specs than it takes."""

DATA_KEY_PAIR_SPECS: Final = (
    *("RSA_2048", "RSA_3072", "RSA_4096", "ECC_NIST_P256", "ECC_NIST_P384", "ECC_NIST_P521", "ECC_SECG_P256K1", "SM2"),
    *("ECC_NIST_EDWARDS25519", "ML_KEM_512", "ML_KEM_768", "ML_KEM_1024"),
)
"""``KeyPairSpec`` of GenerateDataKeyPair."""

SIGNING_ALGORITHMS: Final = (
    *("RSASSA_PSS_SHA_256", "RSASSA_PSS_SHA_384", "RSASSA_PSS_SHA_512", "RSASSA_PKCS1_V1_5_SHA_256"),
    *("RSASSA_PKCS1_V1_5_SHA_384", "RSASSA_PKCS1_V1_5_SHA_512", "ECDSA_SHA_256", "ECDSA_SHA_384", "ECDSA_SHA_512"),
    *("ED25519_SHA_512", "ED25519_PH_SHA_512", "SM2DSA", "ML_DSA_SHAKE_256"),
)
"""``SigningAlgorithm`` of Sign and Verify."""

MESSAGE_TYPES: Final = ("RAW", "DIGEST", "EXTERNAL_MU")
"""``MessageType`` of Sign and Verify."""

MAC_ALGORITHMS: Final = ("HMAC_SHA_384", "HMAC_SHA_256", "HMAC_SHA_224", "HMAC_SHA_512")
"""``MacAlgorithm`` of GenerateMac and VerifyMac."""

KEY_AGREEMENT_ALGORITHMS: Final = ("ECDH",)
"""``KeyAgreementAlgorithm`` of DeriveSharedSecret."""

ENCAPSULATION_ALGORITHMS: Final = ("ML_KEM",)
"""``EncapsulationAlgorithm`` of Encapsulate and Decapsulate."""

GRANT_OPERATIONS: Final = (
    *("Decrypt", "Encrypt", "GenerateDataKey", "GenerateDataKeyWithoutPlaintext", "ReEncryptFrom", "ReEncryptTo"),
    *("Sign", "Verify", "GetPublicKey", "CreateGrant", "RetireGrant", "DescribeKey", "GenerateDataKeyPair"),
    *("GenerateDataKeyPairWithoutPlaintext", "GenerateMac", "VerifyMac", "DeriveSharedSecret", "Encapsulate"),
    "Decapsulate",
)
"""``Operations`` of CreateGrant."""

MAX_GRANT_TOKEN: Final = 8192
"""Characters of a grant token (GrantTokenType)."""

INCLUDE_KEY_MATERIAL: Final = ("ALL_KEY_MATERIAL", "ROTATIONS_ONLY")
"""``IncludeKeyMaterial`` of ListKeyRotations."""

WRAPPING_ALGORITHMS: Final = (
    *("RSAES_PKCS1_V1_5", "RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256", "RSA_AES_KEY_WRAP_SHA_1"),
    *("RSA_AES_KEY_WRAP_SHA_256", "SM2PKE"),
)
"""``WrappingAlgorithm`` of GetParametersForImport."""

WRAPPING_KEY_SPECS: Final = ("RSA_2048", "RSA_3072", "RSA_4096", "SM2")
"""``WrappingKeySpec`` of GetParametersForImport."""

EXPIRATION_MODELS: Final = ("KEY_MATERIAL_EXPIRES", "KEY_MATERIAL_DOES_NOT_EXPIRE")
"""``ExpirationModel`` of ImportKeyMaterial."""

IMPORT_TYPES: Final = ("NEW_KEY_MATERIAL", "EXISTING_KEY_MATERIAL")
"""``ImportType`` of ImportKeyMaterial."""

MAX_PUBLIC_KEY: Final = 8192
"""Bytes of a ``PublicKey`` (PublicKeyType)."""

_MAX_POLICY: Final = 131072
_POLICY: Final = re.compile(r"[\u0009\u000A\u000D\u0020-\u00FF]+")
_RECIPIENT_ALGORITHMS: Final = ("RSAES_OAEP_SHA_256",)
_MAX_ATTESTATION: Final = 262144
_MAX_TAG_VALUE: Final = 256
_MAX_GRANT_TOKENS: Final = 10
_NUMBER_BITS: Final = 31
_SENSITIVE: Final = frozenset({"Message", "Plaintext"})
"""Blobs that the model calls sensitive: AWS does not even say that they are null."""
_NO_STRINGS: Final[Mapping[str, str]] = {}


class Parameters:
    """The parameters of one call: each is taken by name and checked, and :meth:`done` reports what failed."""

    __slots__ = ("_left", "_parts", "_path", "_problems", "_rules")

    def __init__(self, values: Mapping[str, object]) -> None:
        """Take the parameters as the caller gave them; ``None`` stands for a parameter left out."""
        self._left = dict(values)
        self._problems: list[str] = []
        self._rules: list[str] = []
        self._path = ""
        self._parts: tuple[Parameters, ...] = ()

    def done(self) -> None:
        """Raise what failed: constraints (ValidationException), or a parameter that nothing has asked for."""
        if self._problems:
            count = f"{len(self._problems)} validation error{'' if len(self._problems) == 1 else 's'} detected"
            raise faults.validation(f"{count}: {'; '.join(self._problems)}")
        if self._rules:
            raise faults.validation(self._rules[0])
        for part in (self, *self._parts):
            for name, value in part._left.items():
                if value is not None:
                    raise faults.unsupported(f"{name} is not supported by the local KMS.")

    def given(self, name: str) -> bool:
        """Return whether a parameter is given that nothing has asked for yet."""
        return self._left.get(name) is not None

    def refuse(self, message: str) -> None:
        """Have :meth:`done` raise ValidationException of this text, once all keep to the model."""
        self._rules.append(message)

    def text(
        self,
        name: str,
        maximum: int,
        *,
        minimum: int = 1,
        pattern: re.Pattern[str] | None = None,
        required: bool = False,
        secret: bool = False,
    ) -> str | None:
        """Take a string of ``minimum`` to ``maximum`` characters that fits ``pattern`` as a whole.

        Args:
            name: the member's.
            maximum: its most characters.
            minimum: its fewest.
            pattern: as the model spells it, which is what the text of a failure shows.
            required: whether it has to be given.
            secret: whether the text of a failure is not to repeat it.
        """
        value = self._take(name, required=required)
        if value is None:
            return None
        text = _string(value, name)
        shown = "Value" if secret else f"Value '{text}'"
        self._check_length(name, shown, len(text), minimum, maximum)
        if pattern is not None and not pattern.fullmatch(text):
            self._problem(shown, name, f"Member must satisfy regular expression pattern: {pattern.pattern}")
        return text

    def key_id(self, name: str = "KeyId") -> str:
        """Take the name of a key that has to be given."""
        return self.optional_key_id(name, required=True) or ""

    def optional_key_id(self, name: str = "KeyId", *, required: bool = False) -> str | None:
        """Take the name of a key, of ASCII characters."""
        text = self.text(name, MAX_KEY_ID, required=required)
        if text is not None and not (text and text.isascii()):
            self._problem(f"Value '{text}'", name, r"Member must satisfy regular expression pattern: ^\p{ASCII}+$")
        return text

    def policy(self, *, required: bool = False) -> str | None:
        """Take ``Policy``, a key policy's text."""
        return self.text("Policy", _MAX_POLICY, pattern=_POLICY, required=required)

    def choice(
        self, name: str, allowed: Sequence[str], *, listed: Sequence[str] = (), required: bool = False
    ) -> str | None:
        """Take one of a few strings; ``listed`` are those that the text of a failure names, if others."""
        value = self._take(name, required=required)
        if value is None:
            return None
        text = _string(value, name)
        if text not in allowed:
            rule = f"Member must satisfy enum value set: [{', '.join(listed or allowed)}]"
            self._problem(f"Value '{text}'", name, rule)
        return text

    def choices(
        self,
        name: str,
        allowed: Sequence[str],
        *,
        minimum: int = 0,
        maximum: int | None = None,
        required: bool = False,
    ) -> list[str]:
        """Take a list of ``minimum`` to ``maximum`` of a few strings. Left out it is empty."""
        if self._left.get(name) is None:
            # Nearly every call: it is to cost nothing.
            self._take(name, required=required)
            return []
        chosen = self.strings(name)
        self._check_length(name, _shown(chosen), len(chosen), minimum, len(chosen) if maximum is None else maximum)
        if any(item not in allowed for item in chosen):
            rule = f"Member must satisfy constraint: [Member must satisfy enum value set: [{', '.join(allowed)}]]"
            self._problem(_shown(chosen), name, rule)
        return chosen

    def data(self, name: str, maximum: int, *, required: bool = True) -> bytes:
        """Take 1 to ``maximum`` bytes; the text of a failure does not repeat them. Left out they are none."""
        value = self._take(name, required=required, shown="Value" if name in _SENSITIVE else "Value null")
        if value is None:
            return b""
        if not isinstance(value, bytes | bytearray | memoryview):
            raise faults.serialization(f"{name} has to be bytes.")
        try:
            content = bytes(cast("bytes | bytearray | memoryview[int]", value))
        except ValueError:
            # A memoryview that was released.
            raise faults.serialization(f"{name} has to be bytes.") from None
        self._check_length(name, "Value", len(content), 1, maximum)
        return content

    def number(self, name: str, minimum: int, maximum: int) -> int | None:
        """Take a whole number from ``minimum`` to ``maximum``."""
        value = self._take(name)
        if value is None:
            return None
        if not isinstance(value, int) or isinstance(value, bool):
            raise faults.serialization(f"{name} has to be a whole number.")
        if value.bit_length() > _NUMBER_BITS:
            # The model's integers have 32 bits. Larger ones are not repeated: Python refuses to print the largest.
            raise faults.serialization(f"{name} has to be a whole number of 32 bits.")
        if value < minimum:
            rule = f"Member must have value greater than or equal to {minimum}"
            self._problem(f"Value '{value}'", name, rule)
        elif value > maximum:
            self._problem(f"Value '{value}'", name, f"Member must have value less than or equal to {maximum}")
        return value

    def flag(self, name: str) -> bool:
        """Take a yes or no; left out it is no."""
        value = self._take(name)
        if value is None:
            return False
        if not isinstance(value, bool):
            raise faults.serialization(f"{name} has to be True or False.")
        return value

    def moment(self, name: str) -> datetime | None:
        """Take a time, to the millisecond: a ``datetime``, local unless it says otherwise, or seconds since 1970."""
        value = self._take(name)
        if value is None:
            return None
        try:
            if isinstance(value, datetime):
                moment = value.astimezone(UTC)
            elif isinstance(value, int | float) and not isinstance(value, bool):
                moment = datetime.fromtimestamp(value, UTC)
            else:
                raise faults.serialization(f"{name} has to be a time.")
        except (OverflowError, OSError, ValueError):
            raise faults.serialization(f"{name} has to be a time that the calendar has.") from None
        return moment.replace(microsecond=moment.microsecond // 1000 * 1000)

    def context(self, name: str) -> Mapping[str, str]:
        """Take an encryption context: strings by strings. Left out it is empty.

        The API's model and reference set no limit on its length, so none is set here.
        """
        value = self._take(name)
        if value is None:
            return _NO_STRINGS
        if not isinstance(value, Mapping):
            raise faults.serialization(f"{name} has to map strings to strings.")
        pairs = cast("Mapping[object, object]", value)
        return {_string(key, name): _string(item, name) for key, item in pairs.items()}

    def tags(self, name: str, *, required: bool = False) -> list[tuple[str, str]]:
        """Take a list of ``{"TagKey": ..., "TagValue": ...}``, in order."""
        parts = self.structures(name, required=required)
        return [
            (
                part.text("TagKey", MAX_TAG_KEY, required=True) or "",
                part.text("TagValue", _MAX_TAG_VALUE, minimum=0, required=True) or "",
            )
            for part in parts
        ]

    def strings(self, name: str, *, required: bool = False) -> list[str]:
        """Take a list of strings. Left out it is empty."""
        return [_string(item, name) for item in self._list(name, required=required)]

    def bounded_strings(
        self, name: str, minimum: int, maximum: int, *, most: int | None = None, required: bool = False
    ) -> list[str]:
        """Take a list of up to ``most`` strings of ``minimum`` to ``maximum`` characters. Left out it is empty."""
        strings = self.strings(name, required=required)
        if most is not None:
            self._check_length(name, _shown(strings), len(strings), 0, most)
        if not all(minimum <= len(string) <= maximum for string in strings):
            rules = (
                f"Member must have length less than or equal to {maximum}",
                f"Member must have length greater than or equal to {minimum}",
            )
            self._problem(_shown(strings), name, f"Member must satisfy constraint: [{', '.join(rules)}]")
        return strings

    def structure(self, name: str, *, required: bool = False) -> Parameters | None:
        """Take a structure: its members are taken from what is returned, and reported with the others."""
        value = self._take(name, required=required)
        return None if value is None else self._part(value, name, _member(name))

    def structures(self, name: str, *, required: bool = False) -> list[Parameters]:
        """Take a list of structures. Left out it is empty."""
        items = enumerate(self._list(name, required=required), 1)
        return [self._part(item, name, f"{_member(name)}.{number}.member") for number, item in items]

    def check_recipient(self) -> None:
        """Check ``Recipient``, and leave it to be refused: answers for AWS Nitro enclaves are not made here."""
        value = self._left.get("Recipient")
        if value is None:
            return
        recipient = self._part(value, "Recipient", "recipient")
        recipient.choice("KeyEncryptionAlgorithm", _RECIPIENT_ALGORITHMS)
        recipient.data("AttestationDocument", _MAX_ATTESTATION, required=False)

    def grant_tokens(self) -> None:
        """Take ``GrantTokens``. What they say is for whoever decides on permissions."""
        if self._left.get("GrantTokens") in (None, ()):
            # As most calls have it: nothing to look at.
            self._left.pop("GrantTokens", None)
            return
        self.bounded_strings("GrantTokens", 1, MAX_GRANT_TOKEN, most=_MAX_GRANT_TOKENS)

    def _take(self, name: str, *, required: bool = False, shown: str = "Value null") -> Any:
        value = self._left.pop(name, None)
        if value is None and required:
            self._problem(shown, name, "Member must not be null")
        return value

    def _list(self, name: str, *, required: bool = False) -> Sequence[object]:
        value = self._take(name, required=required)
        if value is None:
            return ()
        if not isinstance(value, list | tuple):
            raise faults.serialization(f"{name} has to be a list.")
        return cast("Sequence[object]", value)

    def _part(self, value: object, name: str, path: str) -> Parameters:
        if not isinstance(value, Mapping):
            raise faults.serialization(f"{name} has to map names of members to values.")
        part = Parameters(cast("Mapping[str, object]", value))
        part._path = f"{self._path}{path}."
        part._problems = self._problems
        part._rules = self._rules
        self._parts = (*self._parts, part)
        return part

    def _check_length(self, name: str, shown: str, length: int, minimum: int, maximum: int) -> None:
        if length < minimum:
            self._problem(shown, name, f"Member must have length greater than or equal to {minimum}")
        elif length > maximum:
            self._problem(shown, name, f"Member must have length less than or equal to {maximum}")

    def _problem(self, shown: str, name: str, rule: str) -> None:
        self._problems.append(f"{shown} at '{self._path}{_member(name)}' failed to satisfy constraint: {rule}")


def _member(name: str) -> str:
    # AWS names members in lowerCamelCase.
    return name[0].lower() + name[1:]


def _shown(strings: Sequence[str]) -> str:
    return f"Value '[{', '.join(strings)}]'"


def _string(value: object, name: str) -> str:
    if not isinstance(value, str):
        raise faults.serialization(f"{name} has to be text.")
    if not value.isascii():
        _require_text(value, name)
    return value


def _require_text(value: str, name: str) -> None:
    """Refuse lone surrogates: Python holds them in strings, UTF-8 has none."""
    try:
        value.encode()
    except UnicodeEncodeError:
        problem: KmsServiceError = faults.serialization(f"{name} has to be text that UTF-8 can express.")
    else:
        return
    raise problem
