"""Keyrings over the local KMS, which comes through a door: keyrings do not import it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from envelope_sdk.errors import KeyringError, NoMatchingKeyError, UnwrapFailure, UsageError
from envelope_sdk.formats.edks import EncryptedDataKey
from envelope_sdk.keyrings.attempts import NOTHING_OPENS
from envelope_sdk.keyrings.kms.arn import KmsArn
from envelope_sdk.keyrings.kms.data_keys import PROVIDER_ID
from envelope_sdk.keyrings.kms.symmetric import KmsKeyring
from envelope_sdk.keyrings.schemes.door import LocalKmsApi, LocalKmsDoor
from envelope_sdk.keyrings.schemes.pace import paced_client
from envelope_sdk.keyrings.uri import KeyringUri
from envelope_sdk.materials import DecryptionMaterials, EncryptionMaterials, Keyring

__all__ = ["LocalKmsDiscoveryKeyring", "arn_of", "client_of", "discovery_keyring", "keyring", "store_of"]


def keyring(uri: KeyringUri, door: LocalKmsDoor) -> Keyring:
    """Return the keyring of one key.

    Raises:
        KeyStoreError: there is no such store, or it cannot be used.
        KmsServiceError: there is no such key.
    """
    kms = client_of(uri, door)
    return KmsKeyring(kms, arn_of(kms, uri.rest))


def discovery_keyring(uri: KeyringUri, door: LocalKmsDoor) -> Keyring:
    """Return a keyring that opens what any key of the store wrapped."""
    kms = client_of(uri, door)
    return LocalKmsDiscoveryKeyring(lambda: kms, door.path(store_of(uri)))


def client_of(uri: KeyringUri, door: LocalKmsDoor) -> LocalKmsApi:
    """Return the KMS in the store that ``uri`` names, at the pace that it says.

    Raises:
        UsageError: the pace can be none.
        KeyStoreError: there is no such store, or it cannot be used.
    """
    store = store_of(uri)
    return paced_client(uri, door.kms(store), door.path(store))


def store_of(uri: KeyringUri) -> str | None:
    """Return the path of the store that ``uri`` names; ``None`` for the usual one."""
    store = uri.one("store")
    return None if store is None else uri.path(store)


def arn_of(kms: LocalKmsApi, key_id: str) -> str:
    """Return the ARN of the key that an id, ARN or alias names, since messages are opened by ARN.

    Raises:
        KmsServiceError: there is no such key.
    """
    return str(kms.describe_key(KeyId=key_id)["KeyMetadata"]["Arn"])


class LocalKmsDiscoveryKeyring:
    """Opens what any key of one local KMS wrapped."""

    __slots__ = ("_open", "_path")

    def __init__(self, open_kms: Callable[[], LocalKmsApi], path: str) -> None:
        """Take what opens the KMS when it is first needed, and the path to call it by.

        ``open_kms`` raises :class:`KeyringError` where there is none, which is then why no key matches.
        """
        self._open = open_kms
        self._path = path

    def __repr__(self) -> str:
        return f"the local KMS in {self._path}"

    def on_encrypt(self, materials: EncryptionMaterials) -> EncryptionMaterials:  # noqa: ARG002 - the contract's
        """Refuse: it is not said which key is to encrypt.

        Raises:
            UsageError: always.
        """
        raise UsageError(f"{self!r} is not told which key to encrypt with: name one as local-kms://KEY")

    def on_decrypt(
        self, materials: DecryptionMaterials, encrypted_data_keys: Sequence[EncryptedDataKey]
    ) -> DecryptionMaterials:
        """Have the KMS open the first data key that one of its keys wrapped.

        Raises:
            NoMatchingKeyError: none is, or it opened none of those; the failures hold its answers.
            KeyStoreError: it cannot be used.
        """
        try:
            kms = self._open()
        except KeyringError as absent:
            raise NoMatchingKeyError(NOTHING_OPENS, [UnwrapFailure(repr(self), None, absent)]) from None
        failures: list[UnwrapFailure] = []
        try:
            for key in encrypted_data_keys:
                if not _is_of(key, kms.region, kms.account):
                    continue
                try:
                    return KmsKeyring(kms, key.provider_info.decode()).on_decrypt(materials, [key])
                except NoMatchingKeyError as error:
                    failures += error.failures
                except UsageError as error:
                    # What looks like one of its ARNs and cannot be one.
                    failures.append(UnwrapFailure(repr(self), key.provider_id, error))
            if not failures:
                other = KeyringError("none of the message's data keys is wrapped by one of its keys")
                failures.append(UnwrapFailure(repr(self), None, other))
            raise NoMatchingKeyError(NOTHING_OPENS, failures)
        finally:
            # As in unwrap_first: the errors hold this frame.
            del failures


def _is_of(key: EncryptedDataKey, region: str, account: str) -> bool:
    if key.provider_id != PROVIDER_ID:
        return False
    try:
        arn = KmsArn.parse(key.provider_info.decode("utf-8"))
    except (UnicodeDecodeError, UsageError):
        return False
    return (arn.region, arn.account, arn.resource_type) == (region, account, "key")
