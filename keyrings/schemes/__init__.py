"""The schemes of keyrings' URIs that come with this package.

The table says where each is made; nothing is imported before it is wanted. ``docs/keyring-uris.md`` shows the same.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from envelope_sdk.keyrings.uri import KEY_FILE

__all__ = ["BUILT_IN", "Scheme"]


class Scheme(NamedTuple):
    """A built-in scheme.

    Attributes:
        form: how its URIs look, without parameters.
        opens: what it names, in words.
        maker: module and function, which takes the URI and a
            :class:`~envelope_sdk.keyrings.schemes.door.LocalKmsDoor`; empty where URIs of this scheme are
            replaced by others.
        single: parameters that stand at most once.
        several: parameters that may be repeated.
        files: those of the parameters whose values are paths.
        databases: those of ``files`` that are SQLite's, which keeps others beside them.
        rest: what follows ``://``: ``"file"``, ``"name"``, ``"none"``, or ``"own"`` for a syntax of its own.
    """

    form: str
    opens: str
    maker: str
    single: tuple[str, ...] = ()
    several: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    databases: tuple[str, ...] = ()
    rest: str = "name"

    @property
    def parameters(self) -> str:
        """The parameters as they are listed: in alphabetical order, with ``...`` after what may be repeated."""
        return ", ".join(
            f"{name}=..." if name in self.several else f"{name}=" for name in sorted(self.single + self.several)
        )


_HERE: Final = "envelope_sdk.keyrings.schemes"
_AWS: Final = ("profile", "endpoint-url")
_FILTER: Final = ("partition",)
_PACE: Final = ("max-calls-per-second", "max-wait")
_AWS_KMS: Final = (*_AWS, "retry-mode", "max-attempts", *_PACE)

BUILT_IN: Final[dict[str, Scheme]] = {
    KEY_FILE: Scheme(
        "key-file://FILE",
        "a key file of any kind; FILE alone is the same",
        f"{_HERE}.key_files:keyring",
        rest="file",
    ),
    "raw-aes": Scheme(
        "raw-aes://FILE", "the AES key in a file made by `envelope keygen`", f"{_HERE}.key_files:keyring", rest="file"
    ),
    "raw-rsa": Scheme(
        "raw-rsa://FILE", "the RSA key in a file made by `envelope keygen`", f"{_HERE}.key_files:keyring", rest="file"
    ),
    "raw-ecdh": Scheme("raw-ecdh://FILE", "the ECDH keys in a key file", f"{_HERE}.key_files:keyring", rest="file"),
    "local-kms": Scheme(
        "local-kms://KEY",
        "a key of the local KMS, by `alias/NAME`, key id or ARN",
        f"{_HERE}.local_kms:keyring",
        single=("store", *_PACE),
        files=("store",),
        databases=("store",),
    ),
    "local-kms-discovery": Scheme(
        "local-kms-discovery://",
        "every key of the local KMS, to decrypt",
        f"{_HERE}.local_kms:discovery_keyring",
        single=("store", *_PACE),
        files=("store",),
        databases=("store",),
        rest="none",
    ),
    "aws-kms": Scheme(
        "aws-kms://KEY",
        "a key of AWS KMS, by ARN; to encrypt only, also by key id, `alias/NAME` or alias ARN",
        f"{_HERE}.aws_kms:keyring",
        single=("region", *_AWS_KMS),
        several=("grant-token",),
    ),
    "aws-kms-discovery": Scheme(
        "aws-kms-discovery://",
        "every key of AWS KMS that the caller may use, to decrypt; without `region=`, wherever messages say",
        f"{_HERE}.aws_kms:discovery_keyring",
        single=(*_FILTER, *_AWS_KMS),
        several=("region", "account", "grant-token"),
        rest="none",
    ),
    "aws-kms-mrk": Scheme(
        "aws-kms-mrk://KEY",
        "a multi-Region key of AWS KMS, named likewise; opens what any of its replicas wrapped",
        f"{_HERE}.aws_kms:mrk_keyring",
        single=("region", *_AWS_KMS),
        several=("grant-token",),
    ),
    "aws-kms-mrk-discovery": Scheme(
        "aws-kms-mrk-discovery://REGION",
        "every key that the caller may use in that Region, replicas of other Regions' keys included, to decrypt",
        f"{_HERE}.aws_kms:mrk_discovery_keyring",
        single=(*_FILTER, *_AWS_KMS),
        several=("account", "grant-token"),
    ),
    "aws-kms-rsa": Scheme(
        "aws-kms-rsa://ARN",
        "an RSA key of AWS KMS, to decrypt; with the file `public-key=` also to encrypt, which asks nobody",
        f"{_HERE}.aws_kms_asymmetric:rsa_keyring",
        single=("public-key", "algorithm", *_AWS_KMS),
        several=("grant-token",),
        files=("public-key",),
    ),
    "aws-kms-ecdh": Scheme(
        "aws-kms-ecdh://ARN",
        "a key agreement key of AWS KMS, with the public key in the file `recipient=`; without that, to decrypt",
        f"{_HERE}.aws_kms_asymmetric:ecdh_keyring",
        single=("recipient", "public-key", *_AWS_KMS),
        several=("grant-token",),
        files=("recipient", "public-key"),
    ),
    "hierarchical": Scheme(
        "hierarchical://BRANCH-KEY-ID",
        "a branch key, kept in the DynamoDB table `table=` or the SQLite file `file=` and wrapped by `kms-key=`",
        f"{_HERE}.hierarchical:keyring",
        single=("table", "file", "logical-name", "kms-key", "ttl", "region", *_AWS),
        files=("file",),
        databases=("file",),
    ),
    "pkcs11": Scheme(
        "pkcs11:token=...;object=...?module-path=...&pin-source=...",
        "a key in a PKCS #11 token, such as an HSM or a smart card (RFC 7512)",
        f"{_HERE}.pkcs11:keyring",
        rest="own",
    ),
    "keyring": Scheme("keyring://NAME", "the keys that the configuration file lists under that name", ""),
}
"""By name, in the order in which they are shown."""
