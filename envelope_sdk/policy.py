"""What a client accepts and produces: its commitment policy and its bounds on hostile input."""

from __future__ import annotations

from enum import Enum
from typing import Final, NoReturn

from envelope_sdk.errors import CommitmentPolicyError, UsageError
from envelope_sdk.formats.edks import MAX_COUNT
from envelope_sdk.formats.suites import AlgorithmSuite

__all__ = ["CommitmentPolicy", "Limits"]


class CommitmentPolicy(Enum):
    """Whether messages have to commit to their data key (framework/commitment-policy.md).

    Without commitment, somebody who knows two data keys can craft a message that opens to different plaintexts under
    each.
    """

    FORBID_ENCRYPT_ALLOW_DECRYPT = "forbid-encrypt-allow-decrypt"
    """Writes only uncommitted messages, for readers that know nothing else; reads both."""

    REQUIRE_ENCRYPT_ALLOW_DECRYPT = "require-encrypt-allow-decrypt"
    """Writes only committing messages; reads both. For moving old data over."""

    REQUIRE_ENCRYPT_REQUIRE_DECRYPT = "require-encrypt-require-decrypt"
    """Writes and reads only committing messages. The default."""

    def default_suite(self, *, signed: bool) -> AlgorithmSuite:
        """Return the suite used where the caller names none."""
        if self is CommitmentPolicy.FORBID_ENCRYPT_ALLOW_DECRYPT:
            if signed:
                return AlgorithmSuite.AES_256_GCM_IV12_TAG16_HKDF_SHA384_ECDSA_P384
            return AlgorithmSuite.AES_256_GCM_IV12_TAG16_HKDF_SHA256
        if signed:
            return AlgorithmSuite.AES_256_GCM_HKDF_SHA512_COMMIT_KEY_ECDSA_P384
        return AlgorithmSuite.AES_256_GCM_HKDF_SHA512_COMMIT_KEY

    def check_encrypt(self, suite: AlgorithmSuite) -> None:
        """Raise :class:`CommitmentPolicyError` where this policy forbids writing messages of ``suite``."""
        if suite.committing is (self is _FORBID):
            raise CommitmentPolicyError(f"the commitment policy {self.value} forbids encrypting with {suite.name}")

    def check_decrypt(self, suite: AlgorithmSuite) -> None:
        """Raise :class:`CommitmentPolicyError` where this policy forbids reading messages of ``suite``."""
        if not suite.committing and self is CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT:
            raise CommitmentPolicyError(
                f"the commitment policy {self.value} forbids decrypting {suite.name}, which does not commit to its "
                "data key; use require-encrypt-allow-decrypt to read older messages"
            )


# Every look into an enumeration by its class costs more than the rest of a check.
_FORBID: Final = CommitmentPolicy.FORBID_ENCRYPT_ALLOW_DECRYPT


class Limits:
    """Bounds on what a message may make its reader do. ``None`` leaves only the format's own bound.

    Attributes:
        max_encrypted_data_keys: count. Each may cost a call to a key service, and AWS advises a bound without naming
            one; 100 is far more than any key hierarchy of one message needs. Also checked when writing.
        max_header_length: bytes of a header. 1 MiB holds a full 64 KiB context and 100 data keys of 4,096-bit RSA
            many times over; the format's own bound is 12.9 GB.
        max_body_length: bytes that have to be held before they can be authenticated: the frame length, or the whole
            content of a message without frames. None by default, as in the AWS Encryption SDK: nothing is allocated
            from these fields, so a reader never holds more than it was sent.
    """

    __slots__ = ("max_body_length", "max_encrypted_data_keys", "max_header_length")

    max_encrypted_data_keys: int | None
    max_header_length: int | None
    max_body_length: int | None

    def __init__(
        self,
        max_encrypted_data_keys: int | None = 100,
        max_header_length: int | None = 2**20,
        max_body_length: int | None = None,
    ) -> None:
        """Take the bounds.

        Raises:
            UsageError: one is less than 1, which no message could meet, or more than a message can hold.
        """
        for name, value in zip(
            self.__match_args__, (max_encrypted_data_keys, max_header_length, max_body_length), strict=True
        ):
            if value is not None and value < 1:
                raise UsageError(f"Limits.{name} is {value}; the least is 1")
            object.__setattr__(self, name, value)
        if (max_encrypted_data_keys or 1) > MAX_COUNT:
            raise UsageError(f"Limits.max_encrypted_data_keys is at most {MAX_COUNT}")

    __match_args__ = ("max_encrypted_data_keys", "max_header_length", "max_body_length")

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"Limits do not change: make others instead of setting {name!r}")

    def _bounds(self) -> tuple[int | None, int | None, int | None]:
        return self.max_encrypted_data_keys, self.max_header_length, self.max_body_length

    def __eq__(self, other: object) -> bool:
        return self._bounds() == other._bounds() if isinstance(other, Limits) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._bounds())

    def __reduce__(self) -> tuple[type[Limits], tuple[int | None, int | None, int | None]]:
        return Limits, self._bounds()

    def __repr__(self) -> str:
        keys, header, body = self._bounds()
        return f"Limits(max_encrypted_data_keys={keys}, max_header_length={header}, max_body_length={body})"
