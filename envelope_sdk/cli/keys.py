"""From what is said about keys to a keyring: ``--key``, ``-w``, the environment, the configuration file.

What ``--key`` and ``-w`` name counts; without them what ``ENVELOPE_KEY`` names; without that the configuration's
``default``; without that the local KMS. ``docs/keyring-uris.md`` lists what can be named.
"""

from __future__ import annotations

import warnings
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from envelope_sdk.cli.local_store import LocalStore, StoreDoor
from envelope_sdk.cli.terminal import say
from envelope_sdk.errors import KeyringError
from envelope_sdk.keyrings.configuration import default_uris, expanded_uris
from envelope_sdk.keyrings.registry import keyrings_from_uris
from envelope_sdk.keyrings.uri import KeyringUri
from envelope_sdk.materials import Keyring

if TYPE_CHECKING:
    from envelope_sdk.local_kms import LocalKms

__all__ = ["chosen_keys", "decrypting_keyring", "encrypting_keyring", "verifying_keys"]


def chosen_keys(keys: Iterable[str], wrapping_keys: Iterable[KeyringUri] = ()) -> tuple[KeyringUri, ...]:
    """Return the keys to use; none where the local KMS's are meant.

    Args:
        keys: what ``--key`` says.
        wrapping_keys: what ``-w`` says.

    Raises:
        UsageError: one cannot be understood, or is no name that the configuration knows.
        KeyringError: the configuration cannot be used.
    """
    named = [*(KeyringUri.of_key(key) for key in keys), *wrapping_keys]
    return expanded_uris(named) if named else default_uris()


def encrypting_keyring(uris: Sequence[KeyringUri], store: LocalStore) -> Keyring:
    """Return the keyring that wraps with every one of ``uris``; without any, with the local KMS's default key.

    The first makes the data key.

    Raises:
        UsageError: one cannot be understood.
        KeyringError: a key file cannot be read, or a plug-in fails.
        KmsServiceError, KeyStoreError: the local KMS cannot supply one.
    """
    if not uris:
        from envelope_sdk.keyrings.kms.symmetric import KmsKeyring

        default = store.default_key_arn()
        return KmsKeyring(store.kms(), default)
    return _keyring(uris, store)


def decrypting_keyring(uris: Sequence[KeyringUri], store: LocalStore) -> Keyring:
    """Return the keyring that opens with any of ``uris``, or with any key of the local KMS where there are none."""
    if uris:
        return _keyring(uris, store)
    from envelope_sdk.keyrings.schemes.local_kms import LocalKmsDiscoveryKeyring

    def kms() -> LocalKms:
        if not store.may_be_there():
            raise KeyringError("it does not exist; name the key with --key")
        return store.kms()

    return LocalKmsDiscoveryKeyring(kms, store.name)


def verifying_keys(uris: Sequence[KeyringUri]) -> tuple[KeyringUri, ...] | None:
    """Return the keys that open what ``uris`` have just wrapped, where they themselves cannot; otherwise ``None``.

    Messages name the keys of AWS KMS by ARN, so one that is named by an alias or id is found by what the message says.
    """
    if not any(_is_no_arn(uri) for uri in uris):
        return None
    return tuple(_by_discovery(uri) if _is_no_arn(uri) else uri for uri in uris)


def _is_no_arn(uri: KeyringUri) -> bool:
    from envelope_sdk.keyrings.kms.symmetric import name_in_messages

    return uri.scheme in ("aws-kms", "aws-kms-mrk") and name_in_messages(uri.rest) is None


def _by_discovery(uri: KeyringUri) -> KeyringUri:
    kept = ("region", "profile", "endpoint-url", "grant-token")
    parameters = {name: values for name, values in uri.parameters.items() if name in kept}
    return KeyringUri("aws-kms-discovery", "", parameters, uri.folder)


def _keyring(uris: Sequence[KeyringUri], store: LocalStore) -> Keyring:
    with _warnings_said():
        return keyrings_from_uris(uris, local_kms=StoreDoor(store))


@contextmanager
def _warnings_said() -> Generator[None]:
    """Say what keyrings warn of, as this command says things."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        others = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *place: object) -> None:
            if issubclass(category, UserWarning):
                say(f"warning: {message}")
            else:
                others(message, category, *place)  # type: ignore[arg-type]

        warnings.showwarning = show  # type: ignore[assignment]
        yield
