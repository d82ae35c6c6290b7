"""The AWS Encryption SDK message format on the wire: bytes to values and back. No keys, no I/O.

Imported as ``envelope_sdk.formats``. A message is a header, a body and, for signed suites, a footer; numbers are
big-endian. Lengths in bytes stand behind each field::

    header, version 1                         header, version 2
      version            1   01                 version            1   02
      type               1   80                 algorithm suite    2
      algorithm suite    2                      message id        32
      message id        16                      context            *   length 2, count 2, pairs
      context            *   length 2, ...      data keys          *   count 2, entries
      data keys          *   count 2, entries   content type       1
      content type       1   01 or 02           frame length       4
      reserved           4   00000000           commitment        32
      IV length          1   0c                 tag               16
      frame length       4
      IV, tag       12 + 16

    body of frames                            body without frames
      regular frame: number 4, IV 12,           IV 12, length 8, content, tag 16
        content (frame length), tag 16
      final frame: ffffffff, number 4, IV 12,  footer of signed messages
        length 4, content, tag 16                 length 2, DER signature

Source: awslabs/aws-encryption-sdk-specification, ``data-format/``. Each section has one module with ``parse`` and
``encode`` side by side; :mod:`~envelope_sdk.formats.geometry` knows sizes and offsets, and
:mod:`~envelope_sdk.formats.describe` shows a message to a person.
"""

from envelope_sdk.formats.context import EncryptionContext
from envelope_sdk.formats.edks import EncryptedDataKey
from envelope_sdk.formats.header import ContentType, HeaderBody, UnverifiedHeader, parse_header
from envelope_sdk.formats.suites import AlgorithmSuite, SignatureAlgorithm

__all__ = [
    "AlgorithmSuite",
    "ContentType",
    "EncryptedDataKey",
    "EncryptionContext",
    "HeaderBody",
    "SignatureAlgorithm",
    "UnverifiedHeader",
    "parse_header",
]
