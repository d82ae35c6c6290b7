"""Encrypted objects in S3: :class:`EncryptedS3` stands in front of a boto3 client, and takes the arguments it takes."""

from envelope_sdk.integrations.s3.client import EncryptedS3
from envelope_sdk.integrations.s3.place import S3Place
from envelope_sdk.integrations.s3.source import S3Source

__all__ = ["EncryptedS3", "S3Place", "S3Source"]
