"""Which keyrings could open a wrapped data key, as URIs: what to say to whoever asks which key a message needs.

The message says so, and it is not authenticated yet: a hint, no more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple

from envelope_sdk.errors import MessageError, UsageError
from envelope_sdk.formats.edks import EncryptedDataKey
from envelope_sdk.keyrings.kms.arn import KmsArn
from envelope_sdk.keyrings.raw_aes import key_name_in
from envelope_sdk.keyrings.uri import KeyringUri

if TYPE_CHECKING:
    from envelope_sdk.keyrings.pkcs11.place import KeyName

__all__ = ["Opener", "openers_of"]

# Bytes: what is shorter was wrapped by something else, most likely a plug-in's keyring.
_LEAST_RSA: Final = 128
# AWS gives it to nobody: keys of this account are a local KMS's.
_LOCAL_ACCOUNT: Final = "000000000000"


class Opener(NamedTuple):
    """One keyring that could open a data key.

    Attributes:
        uri: its URI; words in capitals stand for what the message does not say.
        needs: what has to stand for those, in words; empty where the URI is whole.
    """

    uri: str
    needs: str = ""


def openers_of(key: EncryptedDataKey) -> tuple[Opener, ...]:
    """Return the keyrings that could open ``key``; none where it is some other provider's, or malformed."""
    find = _BY_PROVIDER.get(key.provider_id)
    if find is None:
        return () if key.provider_id.startswith("aws-kms") else _raw(key)
    try:
        return find(key)
    except (UnicodeDecodeError, MessageError, UsageError):
        return ()


def _kms(key: EncryptedDataKey) -> tuple[Opener, ...]:
    arn = _key_arn(key)
    if arn.account == _LOCAL_ACCOUNT:
        return (_named("local-kms", str(arn)),)
    related = (_named("aws-kms-mrk", str(arn)),) if arn.resource_id.startswith("mrk-") else ()
    return (_named("aws-kms", str(arn)), *related)


def _kms_rsa(key: EncryptedDataKey) -> tuple[Opener, ...]:
    return (_named("aws-kms-rsa", str(_key_arn(key))),)


def _key_arn(key: EncryptedDataKey) -> KmsArn:
    arn = KmsArn.parse(key.provider_info.decode("utf-8"))
    if arn.resource_type != "key":
        raise UsageError("an alias wraps no data key")
    return arn


def _hierarchical(key: EncryptedDataKey) -> tuple[Opener, ...]:
    branch = key.provider_info.decode("utf-8")
    needs = "with table= or file= and kms-key= of the store that holds the branch key"
    return (_named("hierarchical", branch, needs),)


def _ecdh(key: EncryptedDataKey) -> tuple[Opener, ...]:
    # Only who looks at such a message waits for what it takes.
    from envelope_sdk.keyrings.ecdh_wrapping import parties_shown

    parties = parties_shown(key.provider_info)
    return (
        Opener("raw-ecdh://FILE", f"FILE holds one of these key pairs: {parties}"),
        Opener("aws-kms-ecdh://ARN", f"ARN names one of these key pairs: {parties}"),
    )


def _pkcs11(key: EncryptedDataKey) -> tuple[Opener, ...]:
    from envelope_sdk.keyrings.pkcs11.provider_info import parse_provider_info

    return _token_key(parse_provider_info(key.provider_info)[0], "secret-key")


def _pkcs11_rsa(key: EncryptedDataKey) -> tuple[Opener, ...]:
    from envelope_sdk.keyrings.pkcs11.provider_info import parse_rsa_provider_info

    name, padding = parse_rsa_provider_info(key.provider_info)
    return _token_key(name, "private", f", and padding={padding.value}")


def _token_key(name: KeyName, kind: str, also: str = "") -> tuple[Opener, ...]:
    from urllib.parse import quote

    label, own_label = name.token_label.encode("utf-8"), name.key_label.encode("utf-8")
    found = {"token": label, "object": own_label, "id": name.key_id, "type": kind.encode("ascii")}
    attributes = ";".join(f"{attribute}={quote(value, safe='')}" for attribute, value in found.items() if value)
    return (Opener(f"pkcs11:{attributes}", f"with ?module-path= and pin-source= of the token{also}"),)


def _raw(key: EncryptedDataKey) -> tuple[Opener, ...]:
    aes_name = key_name_in(key.provider_info)
    if aes_name is None and len(key.ciphertext) < _LEAST_RSA:
        return ()
    try:
        text = (key.provider_info if aes_name is None else aes_name).decode("utf-8")
    except UnicodeDecodeError:
        return ()
    kind = "rsa" if aes_name is None else "aes"
    needs = f"FILE holds an {kind.upper()} key of the namespace {key.provider_id!r} and name {text!r}"
    return (Opener(f"raw-{kind}://FILE", needs),)


def _named(scheme: str, rest: str, needs: str = "") -> Opener:
    return Opener(str(KeyringUri(scheme, rest)), needs)


_BY_PROVIDER: Final[dict[str, Callable[[EncryptedDataKey], tuple[Opener, ...]]]] = {
    "aws-kms": _kms,
    "aws-kms-rsa": _kms_rsa,
    "aws-kms-hierarchy": _hierarchical,
    "aws-kms-ecdh": _ecdh,
    "pkcs11": _pkcs11,
    "pkcs11-rsa": _pkcs11_rsa,
    "raw-ecdh": _ecdh,
}
