"""A key management service in the box: AWS KMS over a SQLite file or PostgreSQL, in the process or behind HTTP.

:class:`LocalKms` is called like ``boto3.client("kms")`` and can stand in for it::

    with LocalKms.open("keys.db") as kms:
        key_id = kms.create_key(Description="invoices")["KeyMetadata"]["KeyId"]
        answer = kms.generate_data_key(KeyId=key_id, KeySpec="AES_256", EncryptionContext={"purpose": "invoices"})

From the outside in: ``inprocess`` and ``methods`` (boto3's methods), ``service`` (operations by name), ``operations``
(what each does), ``access`` (who may do it, by ``policy``), ``due`` (what happens by itself), ``materials`` (which of a
key's materials is in use), ``catalogue`` (keys at hand), ``kinds`` and ``key_pairs`` (what keys are for and made of),
``import_parameters``, ``ciphertext`` (the blob) and ``signatures``, ``store`` (where keys are kept). Around each call
stand ``quotas``, ``metering`` and ``audit``. ``server`` is the way in by HTTP, ``wire`` and ``sigv4`` its language and
signatures; ``seeding`` is what a store begins with.
"""

from __future__ import annotations

from envelope_sdk.local_kms.inprocess import LocalKms
from envelope_sdk.local_kms.options import DEFAULT_ACCOUNT, DEFAULT_REGION, Options
from envelope_sdk.local_kms.store.passphrase import Passphrase
from envelope_sdk.local_kms.store.root_key import ROOT_KEY_VARIABLE
from envelope_sdk.local_kms.store.sources import RootKeySource, RootKeyWrapper

__all__ = [
    "DEFAULT_ACCOUNT",
    "DEFAULT_REGION",
    "ROOT_KEY_VARIABLE",
    "LocalKms",
    "Options",
    "Passphrase",
    "RootKeySource",
    "RootKeyWrapper",
]
