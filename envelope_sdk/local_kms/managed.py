"""AWS managed keys: made under ``alias/aws/<service>`` when somebody first asks for one, and nobody's to change.

Source: AWS KMS developer guide, "AWS managed keys"; API reference, DescribeKey and ListAliases; policies as
GetKeyPolicy answers them for such keys.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final

from envelope_sdk.local_kms.identifiers import Scope, new_key_id
from envelope_sdk.local_kms.key_pairs import new_secret
from envelope_sdk.local_kms.kinds import ENCRYPT, SYMMETRIC
from envelope_sdk.local_kms.materials import new_material_id
from envelope_sdk.local_kms.model import Alias, Key, KeyManager, KeyState, MaterialRecord
from envelope_sdk.local_kms.policy import Caller
from envelope_sdk.local_kms.policy.refusals import access_denied
from envelope_sdk.local_kms.store.contract import Store, WriteTransaction
from envelope_sdk.primitives.aead import wipe
from envelope_sdk.primitives.entropy import RandomSource

__all__ = ["PREDEFINED", "RESERVED", "UNCHANGEABLE", "check_managed", "managed_key", "managed_policy"]

RESERVED: Final = "alias/aws/"
"""What the aliases of AWS managed keys begin with, and no other's."""

_SERVICES: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "acm": ("acm", "ACM private keys"),
        "dynamodb": ("dynamodb", "DynamoDB tables"),
        "ebs": ("ec2", "EBS volumes"),
        "elasticfilesystem": ("elasticfilesystem", "EFS filesystems"),
        "es": ("es", "Elasticsearch data"),
        "glue": ("glue", "Glue data"),
        "kinesis": ("kinesis", "Kinesis streams"),
        "kinesisvideo": ("kinesisvideo", "Kinesis Video Streams data"),
        "lambda": ("lambda", "Lambda functions"),
        "rds": ("rds", "RDS database volumes"),
        "redshift": ("redshift", "Redshift clusters"),
        "s3": ("s3", "S3 objects"),
        "secretsmanager": ("secretsmanager", "Secrets Manager data"),
        "sns": ("sns", "SNS data"),
        "sqs": ("sqs", "SQS messages"),
        "ssm": ("ssm", "SSM Parameter Store parameters"),
        "xray": ("xray", "X-Ray data"),
    }
)
"""By the name in the alias: the service as ``kms:ViaService`` names it, and what of it is protected."""

PREDEFINED: Final[Sequence[str]] = tuple(f"{RESERVED}{service}" for service in _SERVICES)
"""The aliases that every account has in every Region before there are keys for them, sorted."""

UNCHANGEABLE: Final = frozenset(
    {
        "CancelKeyDeletion",
        "CreateAlias",
        "DeleteAlias",
        "DeleteImportedKeyMaterial",
        "DisableKey",
        "DisableKeyRotation",
        "EnableKey",
        "EnableKeyRotation",
        "GetParametersForImport",
        "ImportKeyMaterial",
        "PutKeyPolicy",
        "ReplicateKey",
        "RotateKeyOnDemand",
        "ScheduleKeyDeletion",
        "TagResource",
        "UntagResource",
        "UpdateAlias",
        "UpdateKeyDescription",
        "UpdatePrimaryRegion",
    }
)
"""Permissions that no account has on AWS managed keys, whatever its policies say."""

_ROTATION_DAYS: Final = 365


def managed_key(store: Store, scope: Scope, name: str, now: datetime, random: RandomSource) -> Key | None:
    """Return the AWS managed key of an alias, made if it is not there yet.

    Args:
        store: where keys are.
        scope: the account and Region.
        name: the alias.
        now: the time of the call.
        random: the source of its id and material.

    Returns:
        The key; ``None`` where the alias is not one of :data:`PREDEFINED`.
    """
    if name not in PREDEFINED:
        return None
    with store.write() as transaction:
        # Another process may have made it since the caller looked.
        alias = transaction.alias(scope, name)
        if alias is not None:
            return transaction.key(scope, alias.key_id)
        return _make(transaction, scope, name, now, random)


def check_managed(key: Key, action: str, caller: Caller) -> None:
    """Raise AccessDeniedException where ``action`` would change ``key``, an AWS managed key.

    Its policy lets nobody do so, and is AWS's alone to change: so it is refused where policies are not enforced, too.
    """
    if action in UNCHANGEABLE:
        raise access_denied(
            f"User: {caller.arn} is not authorized to perform: kms:{action} on resource: {key.arn}"
            f" because no resource-based policy allows the kms:{action} action"
        )


def managed_policy(scope: Scope, name: str) -> str:
    """Return the key policy of the AWS managed key under the alias ``name``.

    The service may use it for whoever of the account may use the service; the account itself may look at it.
    """
    service = name.removeprefix(RESERVED)
    via, _ = _SERVICES[service]
    title = service.upper()
    suffix = "amazonaws.com.cn" if scope.partition == "aws-cn" else "amazonaws.com"
    condition = {"kms:CallerAccount": scope.account, "kms:ViaService": f"{via}.{scope.region}.{suffix}"}
    through = {
        "Sid": f"Allow access through {title} for all principals in the account that are authorized to use {title}",
        "Effect": "Allow",
        "Principal": {"AWS": "*"},
        "Action": [
            *("kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:CreateGrant"),
            "kms:DescribeKey",
        ],
        "Resource": "*",
        "Condition": {"StringEquals": condition},
    }
    direct = {
        "Sid": "Allow direct access to key metadata to the account",
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:{scope.partition}:iam::{scope.account}:root"},
        "Action": ["kms:Describe*", "kms:Get*", "kms:List*", "kms:RevokeGrant"],
        "Resource": "*",
    }
    document = {"Version": "2012-10-17", "Id": f"auto-{service}-2", "Statement": [through, direct]}
    return json.dumps(document, indent=2, separators=(",", " : "))


def _make(transaction: WriteTransaction, scope: Scope, name: str, now: datetime, random: RandomSource) -> Key:
    _, protected = _SERVICES[name.removeprefix(RESERVED)]
    material_id = new_material_id(random)
    key = Key(
        scope=scope,
        key_id=new_key_id(random, multi_region=False),
        created=now,
        description=f"Default key that protects my {protected} when no other key is defined",
        usage=ENCRYPT,
        spec=SYMMETRIC,
        origin="AWS_KMS",
        state=KeyState.ENABLED,
        policy=managed_policy(scope, name),
        material_id=material_id,
        manager=KeyManager.AWS,
        rotation_days=_ROTATION_DAYS,
        next_rotation=_a_year_from(now),
    )
    secret = new_secret(key.spec, random)
    try:
        transaction.add_key(key, {})
        transaction.add_material(scope, MaterialRecord(key_id=key.key_id, material_id=material_id, created=now), secret)
        transaction.put_alias(Alias(scope, name, key.key_id, now, now))
    finally:
        wipe(memoryview(secret))
    return key


def _a_year_from(now: datetime) -> datetime | None:
    try:
        return now + timedelta(days=_ROTATION_DAYS)
    except OverflowError:
        return None
