"""Which root key a store is under at this moment: it may change while the store is open, here or elsewhere."""

from __future__ import annotations

from envelope_sdk.errors import KeyStoreError
from envelope_sdk.local_kms.store.connection import Connection
from envelope_sdk.local_kms.store.records import read_records
from envelope_sdk.local_kms.store.rotation import change_root_key
from envelope_sdk.local_kms.store.schema import SCHEMA_VERSION
from envelope_sdk.local_kms.store.sources import Keeper
from envelope_sdk.local_kms.store.wrapping import MaterialWrapper

__all__ = ["RootKeyInForce"]


class RootKeyInForce:
    """The wrappers of an open store, and where a new root key is looked for. Its repr shows no secret.

    While the root key changes there are two wrappers: looks that began before need the old one.
    """

    __slots__ = ("_place", "keeper", "wrappers")

    def __init__(self, place: str, keeper: Keeper, wrapper: MaterialWrapper) -> None:
        """Take where the store is, in words, where its root key comes from, and the wrapper of that."""
        self._place = place
        self.keeper = keeper
        self.wrappers: tuple[MaterialWrapper, ...] = (wrapper,)

    def __repr__(self) -> str:
        return f"RootKeyInForce({self._place!r}, <secret>)"

    def __reduce__(self) -> str:
        raise TypeError("a root key cannot be pickled or copied")

    def wrapper(
        self, connection: Connection, schema: object, check: object, before: tuple[MaterialWrapper, ...]
    ) -> MaterialWrapper:
        """Return the wrapper of the root key that what a transaction sees is under.

        Args:
            connection: in the transaction.
            schema: the schema that the transaction sees.
            check: its record of the root key.
            before: :attr:`wrappers` as they were before the transaction began.

        Raises:
            KeyStoreError: others have changed the root key, and the new one is not to be had; or the schema.
        """
        if schema != SCHEMA_VERSION:
            raise KeyStoreError(
                f"another version of envelope-sdk has made the key store {self._place} one of schema {schema} while it "
                f"was open (this one knows {SCHEMA_VERSION}): start again with that version"
            )
        if isinstance(check, bytes):
            for wrapper in (*before, *self.wrappers):
                if wrapper.fits(check):
                    return wrapper
        try:
            wrapper = self.keeper.open(read_records(connection))
        except KeyStoreError as error:
            if not isinstance(check, bytes):
                raise
            raise KeyStoreError(f"the root key was changed while the key store was open: {error}") from error
        self.wrappers = (wrapper,)
        return wrapper

    def change(self, connection: Connection, current: MaterialWrapper, keeper: Keeper) -> MaterialWrapper:
        """Wrap everything anew under the root key of ``keeper``, in a transaction that is the caller's to commit.

        Returns:
            What to give :meth:`changed` then.

        Raises:
            UsageError, KeyStoreError: as :func:`~envelope_sdk.local_kms.store.rotation.change_root_key`.
        """
        wrapper = change_root_key(connection, current, self.keeper, keeper)
        # Before the commit: whoever looks right after it needs the new one.
        self.wrappers = (wrapper, current)
        return wrapper

    def changed(self, keeper: Keeper, wrapper: MaterialWrapper) -> None:
        """Forget the old root key, once the new one, of ``keeper``, is in force."""
        self.keeper = keeper
        self.wrappers = (wrapper,)
