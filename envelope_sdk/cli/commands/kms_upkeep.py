"""``envelope kms rotate-root-key``, ``backup`` and ``restore``: what the file of the local KMS needs over the years."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager

import click

from envelope_sdk.cli.local_store import LocalStore
from envelope_sdk.cli.root_keys import FORMS, SOURCE_VARIABLE
from envelope_sdk.cli.terminal import say
from envelope_sdk.errors import UsageError

__all__ = ["backup", "restore", "rotate_root_key"]

_APART = "the root key is not in it: keep a copy of that in another place, without which the backup opens nothing"


@click.command("rotate-root-key", short_help="Wrap all keys under another root key.")
@click.option(
    "--new-root-key",
    metavar="SOURCE",
    help=f"Where the new root key is: {FORMS}. Without, it is made in the file beside the store.",
)
@click.pass_obj
def rotate_root_key(store: LocalStore, new_root_key: str | None) -> None:
    """Wrap all keys under another root key, while they are used.

    Nothing that was encrypted is touched. Backups made before still need the old root key: the file beside the store
    that held it is kept, with a number at the end of its name.
    """
    kms = store.kms()
    kms.rotate_root_key(store.new_root_key(new_root_key))
    say(f"the keys in {store.name} are under another root key now; backups made before need the old one")
    if new_root_key:
        say(f"hint: from now on, name it with --root-key or in {SOURCE_VARIABLE}")


@click.command("backup", short_help="Write a copy of the store, while it is used.")
@click.argument("target", metavar="FILE")
@click.option("-f", "--force", is_flag=True, help="Replace the file if it is there.")
@click.pass_obj
def backup(store: LocalStore, target: str, force: bool) -> None:
    """Write a copy of the store to FILE, while it is used. The root key is not in it."""
    kms = store.kms()
    with _hinting("--force replaces the file", when=not force and os.path.lexists(target) and not store.has(target)):
        kms.backup(target, replace=force)
    say(f"wrote {target}")
    say(f"hint: {_APART}")


@click.command("restore", short_help="Put a backup in the place of the store.")
@click.argument("source", metavar="FILE")
@click.option("--replace", is_flag=True, help="Put the store that is there aside; nobody must have it open.")
@click.pass_obj
def restore(store: LocalStore, source: str, replace: bool) -> None:
    """Make a backup the store, once it is known to be whole and to open with the root key.

    The root key has to be in its place already: FILE does not hold it.
    """
    from envelope_sdk.local_kms import LocalKms

    store.make_folder()
    root_key = store.root_key()
    taken = not replace and store.may_be_there() and not store.has(source)
    with _hinting("--replace puts it aside", when=taken):
        aside = LocalKms.restore(source, store.path, root_key=root_key, replace=replace)
    say(f"{store.path} is the store that was backed up to {source}")
    if aside is not None:
        say(f"what was there before is {aside} now")


@contextmanager
def _hinting(hint: str, *, when: bool) -> Generator[None]:
    try:
        yield
    except UsageError as error:
        if when:
            error.add_note(hint)
        raise
