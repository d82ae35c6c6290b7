"""From what ``--key`` says to a keyring.

=========================  ===========================================================================
``local-kms://alias/NAME``  a key of the local KMS by alias, key id or ARN
``aws-kms://ARN``           a key of AWS KMS; decrypting needs the key's ARN, encrypting takes an alias too
``raw-aes://FILE``          an AES key file made by ``envelope keygen``
``raw-ecdh://FILE``         an ECDH key file made by ``envelope keygen``
``raw-rsa://FILE``          an RSA key file made by ``envelope keygen``
``FILE``                    a key file of any kind
=========================  ===========================================================================
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from envelope_sdk.cli.local_store import LocalStore
from envelope_sdk.cli.terminal import say
from envelope_sdk.errors import KeyringError, NoMatchingKeyError, UnwrapFailure, UsageError
from envelope_sdk.formats.edks import EncryptedDataKey
from envelope_sdk.keyrings.attempts import NOTHING_OPENS
from envelope_sdk.keyrings.key_files import MAX_LENGTH, parse_key_file
from envelope_sdk.keyrings.kms.arn import KmsArn
from envelope_sdk.keyrings.kms.symmetric import PROVIDER_ID, KmsKeyring
from envelope_sdk.keyrings.multi import MultiKeyring
from envelope_sdk.materials import DecryptionMaterials, EncryptionMaterials, Keyring

if TYPE_CHECKING:
    from envelope_sdk.keyrings.kms.api import KmsApi

__all__ = ["decrypting_keyring", "encrypting_keyring", "key_file_path"]

_KEY_FILE_SCHEMES: Final = ("raw-aes", "raw-ecdh", "raw-rsa")


def encrypting_keyring(keys: Sequence[str], store: LocalStore) -> Keyring:
    """Return the keyring that wraps with every one of ``keys``; without any, with the local KMS's default key.

    The first makes the data key.

    Raises:
        UsageError: one cannot be understood.
        KeyringError: a key file cannot be read.
        KmsServiceError, KeyStoreError: the local KMS cannot supply one.
    """
    if not keys:
        default = store.default_key_arn()
        return KmsKeyring(store.kms(), default)
    first, *others = (_keyring(key, store) for key in keys)
    return MultiKeyring(first, others) if others else first


def decrypting_keyring(keys: Sequence[str], store: LocalStore) -> Keyring:
    """Return the keyring that opens with any of ``keys``, or with any key of the local KMS where none is given."""
    if not keys:
        return _LocalKeys(store)
    keyrings = [_keyring(key, store) for key in keys]
    return keyrings[0] if len(keyrings) == 1 else MultiKeyring(children=keyrings)


def key_file_path(key: str) -> str | None:
    """Return the path of the key file that ``key`` names, or ``None`` where it names something else."""
    scheme, separator, rest = key.partition("://")
    if not separator:
        return key
    return rest if scheme in _KEY_FILE_SCHEMES else None


class _LocalKeys:
    """Opens what any key of the local KMS wrapped."""

    def __init__(self, store: LocalStore) -> None:
        self._store = store

    def __repr__(self) -> str:
        return f"the local KMS in {self._store.path}"

    def on_encrypt(self, materials: EncryptionMaterials) -> EncryptionMaterials:
        raise UsageError(f"no key was named to encrypt {materials.algorithm_suite.name} with")

    def on_decrypt(
        self, materials: DecryptionMaterials, encrypted_data_keys: Sequence[EncryptedDataKey]
    ) -> DecryptionMaterials:
        if not self._store.path.exists():
            absent = KeyringError("it does not exist; name the key with --key")
            raise NoMatchingKeyError(NOTHING_OPENS, [UnwrapFailure(repr(self), None, absent)])
        kms = self._store.kms()
        failures: list[UnwrapFailure] = []
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


def _is_of(key: EncryptedDataKey, region: str, account: str) -> bool:
    if key.provider_id != PROVIDER_ID:
        return False
    try:
        arn = KmsArn.parse(key.provider_info.decode("utf-8"))
    except (UnicodeDecodeError, UsageError):
        return False
    return (arn.region, arn.account, arn.resource_type) == (region, account, "key")


def _keyring(key: str, store: LocalStore) -> Keyring:
    scheme, separator, rest = key.partition("://")
    if not separator:
        return _key_file(key, None)
    if not rest:
        raise UsageError(f"the key {key!r} names nothing after '://'")
    if scheme == "local-kms":
        return KmsKeyring(store.kms(), store.key_arn(rest))
    if scheme == "aws-kms":
        return KmsKeyring(_aws_client(rest), rest)
    if scheme in _KEY_FILE_SCHEMES:
        return _key_file(rest, scheme)
    known = "".join(f"{name}://, " for name in ("local-kms", "aws-kms", *_KEY_FILE_SCHEMES))
    raise UsageError(f"the key {key!r} has an unknown scheme: {known.removesuffix(', ')} or a key file's path")


def _aws_client(key_id: str) -> KmsApi:
    import boto3
    from botocore.exceptions import BotoCoreError

    region = KmsArn.parse(key_id).region if key_id.startswith("arn:") else None
    try:
        client: KmsApi = boto3.client("kms", region_name=region)  # pyright: ignore[reportUnknownMemberType]
    except (BotoCoreError, ValueError) as error:
        raise UsageError(f"AWS cannot be used: {error}") from error
    return client


def _key_file(path: str, scheme: str | None) -> Keyring:
    try:
        with Path(path).open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            data = file.read(MAX_LENGTH + 1)
    except OSError as error:
        raise KeyringError(f"the key file {path!r} cannot be read: {str(error.strerror).lower()}") from error
    if len(data) > MAX_LENGTH:
        raise UsageError(f"{path!r} is not a key file: it is too long")
    try:
        parsed = parse_key_file(data)
    except UsageError as error:
        raise UsageError(f"{path!r}: {error}") from None
    if scheme not in (None, parsed.kind):
        raise UsageError(f"{path!r} is a {parsed.kind} key file, not {scheme}")
    if parsed.secret and mode & (stat.S_IRGRP | stat.S_IROTH):
        say(f"warning: the key file {path} can be read by others; 'chmod 600' it")
    return parsed.keyring
