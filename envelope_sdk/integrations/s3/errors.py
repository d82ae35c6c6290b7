"""What S3 and the network answer, as the operating system's errors: bulk runs know those, and can send them."""

from __future__ import annotations

import errno
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

from envelope_sdk.integrations.s3.pinned import error_code, error_status

__all__ = ["os_errors"]

_NUMBERS: Final = {401: errno.EACCES, 403: errno.EACCES, 404: errno.ENOENT, 412: errno.EEXIST}


@contextmanager
def os_errors(name: str) -> Generator[None]:
    """Raise botocore's errors as :class:`OSError`: missing, forbidden and existing ones as Python's own kinds of it.

    Args:
        name: the object's, for people.
    """
    try:
        yield
    except ClientError as error:
        number = _NUMBERS.get(error_status(error), errno.EIO)
        text = str(error.response.get("Error", {}).get("Message", ""))
        raise _with_notes(OSError(number, f"S3 answers {error_code(error)}: {text}", name), error) from error
    except BotoCoreError as error:
        number = errno.EACCES if isinstance(error, NoCredentialsError) else errno.EIO
        raise _with_notes(OSError(number, str(error), name), error) from error


def _with_notes(shown: OSError, error: Exception) -> OSError:
    for note in getattr(error, "__notes__", ()):
        shown.add_note(note)
    return shown
