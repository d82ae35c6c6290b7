"""Objects read from beginning to end by several requests at once, in bounded memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from boto3.s3.transfer import TransferConfig

from envelope_sdk.integrations.s3.pinned import PinnedObject
from envelope_sdk.integrations.s3.threads import begin

__all__ = ["ReadPieces", "read_pieces"]


def read_pieces(stored: PinnedObject, config: TransferConfig) -> Generator[memoryview]:
    """Yield the bytes of an object, in order. Close the iterator, so that no thread is left behind.

    At most ``max_concurrency`` pieces of ``multipart_chunksize`` bytes are asked for and held at a time.

    Raises:
        As :meth:`PinnedObject.read`.
    """
    size = config.multipart_chunksize
    # Without a name, which would keep it in memory as long as the download takes.
    yield stored.read_first(size)
    offsets = range(size, stored.size, size)
    if not config.use_threads:
        for offset in offsets:
            yield _piece(stored, offset, size)
        return
    threads = min(config.max_request_concurrency, len(offsets))
    if not threads:
        return
    pool = ThreadPoolExecutor(threads, "envelope-sdk-s3")
    try:
        asked: deque[Future[memoryview]] = deque()
        for offset in offsets:
            asked.append(begin(pool, _piece, stored, offset, size))
            if len(asked) >= threads:
                yield asked.popleft().result()
        while asked:
            yield asked.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _piece(stored: PinnedObject, offset: int, size: int) -> memoryview:
    buffer = memoryview(bytearray(min(size, stored.size - offset)))
    stored.read(offset, buffer)
    return buffer


class ReadPieces:
    """A file object over pieces, as far as a decrypting reader needs one."""

    def __init__(self, pieces: Iterator[memoryview]) -> None:
        """Take the pieces."""
        self._pieces = pieces
        self._piece = memoryview(b"")

    def readinto(self, buffer: memoryview) -> int:
        """Read some bytes; 0 at the end."""
        if not self._piece:
            self._piece = next(self._pieces, self._piece)
        piece = self._piece[: len(buffer)]
        buffer[: len(piece)] = piece
        self._piece = self._piece[len(piece) :]
        return len(piece)
