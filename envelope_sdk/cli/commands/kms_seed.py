"""``envelope kms seed``: keys, aliases, policies and users from a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from envelope_sdk.cli.local_store import LocalStore

if TYPE_CHECKING:
    from envelope_sdk.local_kms.seeding import Planted

__all__ = ["plant_file", "seed"]


@click.command("seed", short_help="Make the keys, policies and users of a file.")
@click.argument("file")
@click.option("--region", default="us-east-1", show_default=True, help="Region of keys for which FILE names none.")
@click.option("--account", default="000000000000", show_default=True, help="Account of whatever FILE names none for.")
@click.pass_obj
def seed(store: LocalStore, file: str, region: str, account: str) -> None:
    """Make the keys, aliases, policies and users that FILE names.

    FILE is TOML; docs/local-kms-seed.md says what may be in it. What is there already is brought up to date, but for
    what keys are made of. The store is made if it is not there.
    """
    done = plant_file(store, file, region, account)
    for what, arns in (("made", done.made), ("changed", done.changed), ("unchanged", done.unchanged)):
        for arn in arns:
            click.echo(f"{what:<9}  {arn}")


def plant_file(store: LocalStore, file: str, region: str, account: str) -> Planted:
    """Plant a seed in a store that nobody here has open.

    Raises:
        UsageError: the file cannot be read or planted.
        KeyStoreError, KmsServiceError: the store cannot be used.
    """
    from envelope_sdk.local_kms.identifiers import Scope
    from envelope_sdk.local_kms.seeding import Seed, plant

    read = Seed.load(Path(file), Scope(account, region))
    opened = store.open_store()
    try:
        return plant(opened, read)
    finally:
        opened.close()
