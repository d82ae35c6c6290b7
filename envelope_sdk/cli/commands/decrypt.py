"""``envelope decrypt``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any

import click

from envelope_sdk.cli.caching import Caching, caching_of, caching_options, materials_manager
from envelope_sdk.cli.guarded import Guarded
from envelope_sdk.cli.keys import chosen_keys, decrypting_keyring
from envelope_sdk.cli.local_store import LocalStore
from envelope_sdk.cli.many import Many, check_keys
from envelope_sdk.cli.options import context_pairs, many_options, transfer_options
from envelope_sdk.cli.plan import Item, plan
from envelope_sdk.cli.running import check_outputs, run_items
from envelope_sdk.cli.terminal import ExitCode
from envelope_sdk.cli.transfer import decrypt_item
from envelope_sdk.cli.words import WordsCommand
from envelope_sdk.cli.wrapping_keys import uris_of_wrapping_keys
from envelope_sdk.client import Client
from envelope_sdk.keyrings.kms.calls import CountedCalls, counted_calls
from envelope_sdk.keyrings.uri import KeyringUri
from envelope_sdk.policy import CommitmentPolicy, Limits

__all__ = ["command"]


@click.command("decrypt", cls=WordsCommand)
@transfer_options
@many_options
@click.option(
    "-c",
    "--context",
    "context",
    multiple=True,
    metavar="KEY[=VALUE]",
    help="Pair or key that has to be, stored or not.",
)
@click.option("--max-body-length", type=click.IntRange(1), help="Refuse frames, or unframed bodies, longer than this.")
@click.option("--allow-uncommitted", is_flag=True, help="Accept older messages that do not commit to their key.")
@caching_options(encrypting=False)
@click.pass_context
def command(ctx: click.Context, /, inputs: tuple[str, ...], context: tuple[str, ...], **options: Any) -> None:
    """Decrypt files, folders or standard input ('-').

    FILE.enc becomes FILE beside it unless --output says otherwise. A file appears only when all of its message is
    authentic.

    KEY is what it is to 'envelope encrypt'. Without it, the keys in ENVELOPE_KEY are tried, or the configuration's
    default, or else every key of the local KMS that the message names.
    """
    pairs, required_keys = context_pairs(context, bare_keys=True)
    caching = caching_of(options)
    store = LocalStore(options["kms_store"])
    keys = chosen_keys(options["keys"], uris_of_wrapping_keys(options["wrapping_keys"], encrypting=False))
    guarded = Guarded(keys, store, options["journal"])
    items = plan(
        inputs,
        options["output"],
        recursive=options["recursive"],
        suffix=options["suffix"],
        encrypting=False,
        guarded=guarded,
    )
    check_outputs(
        items,
        options["metadata"],
        binary=False,
        force=options["force"],
        guarded=guarded,
        journal=options["journal"],
    )
    settings: dict[str, Any] = {
        "commitment_policy": (
            CommitmentPolicy.REQUIRE_ENCRYPT_ALLOW_DECRYPT
            if options["allow_uncommitted"]
            else CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT
        ),
        "limits": Limits(
            max_encrypted_data_keys=options["max_encrypted_data_keys"],
            max_body_length=options["max_body_length"],
        ),
    }
    many = Many.of(options, items, caching)
    with closing(store):
        if many is not None:
            check_keys(keys, store)
            # Here too, though workers make their own: it warns, and fails, once.
            with counted_calls() as making:
                decrypting_keyring(keys, store)
            code = _by_workers(many, making, items, keys, caching, (pairs, required_keys), options, settings)
        else:
            with materials_manager(lambda: decrypting_keyring(keys, store), caching) as manager:
                client = Client(materials_manager=manager, threads=options["threads"], **settings)
                code = run_items(
                    "decrypt",
                    items,
                    lambda item, progress: decrypt_item(
                        client,
                        item,
                        overwrite=options["force"],
                        context=pairs,
                        required_keys=required_keys,
                        progress=progress,
                    ),
                    metadata=options["metadata"],
                    quiet=options["quiet"],
                )
    ctx.exit(code)


def _by_workers(
    many: Many,
    making: CountedCalls,
    items: Sequence[Item],
    keys: Sequence[KeyringUri],
    caching: Caching,
    context: tuple[Mapping[str, str], Sequence[str]],
    options: Mapping[str, Any],
    settings: Mapping[str, Any],
) -> ExitCode:
    from envelope_sdk import bulk
    from envelope_sdk.cli.workers import recipe_of, run_many, threads_each

    recipe = recipe_of(
        keys,
        caching,
        store=options["kms_store"],
        encrypting=False,
        threads=threads_each(options["threads"], many.jobs),
        **settings,
    )
    pairs, required_keys = context
    operation = bulk.Decrypt(
        encryption_context=pairs, required_context_keys=tuple(required_keys), overwrite=options["force"]
    )
    return run_many("decrypt", items, operation, recipe, many, making)
