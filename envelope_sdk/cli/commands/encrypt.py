"""``envelope encrypt``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any

import click

from envelope_sdk.cli.caching import Caching, caching_of, caching_options, materials_manager
from envelope_sdk.cli.guarded import Guarded
from envelope_sdk.cli.keys import chosen_keys, encrypting_keyring
from envelope_sdk.cli.local_store import LocalStore
from envelope_sdk.cli.many import Many, check_keys
from envelope_sdk.cli.options import SUITES, context_pairs, many_options, transfer_options
from envelope_sdk.cli.plan import Item, plan
from envelope_sdk.cli.running import check_outputs, run_items
from envelope_sdk.cli.terminal import ExitCode
from envelope_sdk.cli.transfer import encrypt_item
from envelope_sdk.cli.words import WordsCommand
from envelope_sdk.cli.wrapping_keys import uris_of_wrapping_keys
from envelope_sdk.client import DEFAULT_FRAME_LENGTH, Client
from envelope_sdk.formats.header import MAX_FRAME_LENGTH
from envelope_sdk.keyrings.kms.calls import CountedCalls, counted_calls
from envelope_sdk.keyrings.uri import KeyringUri
from envelope_sdk.materials import Keyring, MaterialsManager
from envelope_sdk.policy import CommitmentPolicy, Limits

__all__ = ["command"]


@click.command("encrypt", cls=WordsCommand)
@transfer_options
@many_options
@click.option("-c", "--context", "context", multiple=True, metavar="KEY=VALUE", help="Pair to store and authenticate.")
@click.option(
    "--required-context-key",
    "required_keys",
    multiple=True,
    metavar="KEY",
    help="Do not store this key's pair, but have readers give it; may be repeated.",
)
@click.option("--sign", is_flag=True, help="Sign with ECDSA: who may only decrypt cannot forge.")
@click.option("--suite", type=click.Choice(sorted(SUITES)), help="Algorithm suite; 0x0478 unless told otherwise.")
@click.option(
    "--frame-length",
    type=click.IntRange(1, MAX_FRAME_LENGTH),
    default=DEFAULT_FRAME_LENGTH,
    show_default=True,
    help="Bytes of plaintext in a frame.",
)
@caching_options(encrypting=True)
@click.pass_context
def command(ctx: click.Context, /, inputs: tuple[str, ...], context: tuple[str, ...], **options: Any) -> None:
    """Encrypt files, folders or standard input ('-').

    FILE becomes FILE.enc beside it unless --output says otherwise.

    KEY is local-kms://alias/NAME, aws-kms://ARN, the path of a key file, keyring://NAME for what the configuration
    lists under that name, or any other URI that 'envelope keyrings' shows. Every one wraps, any one opens. Without it,
    the keys in ENVELOPE_KEY are used, or the configuration's default, or else the local KMS's default key, which is
    made on first use.
    """
    pairs, _ = context_pairs(context, bare_keys=False)
    for key in options["required_keys"]:
        if key not in pairs:
            raise click.UsageError(f"--required-context-key {key} goes with --context {key}=VALUE")
    suite = SUITES.get(options["suite"])
    forbids = suite is not None and not suite.committing
    if options["sign"] and suite is not None and suite.signature is None:
        raise click.UsageError(f"--sign does not go with --suite {options['suite']}, which has no signature")
    caching = caching_of(options)
    store = LocalStore(options["kms_store"])
    keys = chosen_keys(options["keys"], uris_of_wrapping_keys(options["wrapping_keys"], encrypting=True))
    guarded = Guarded(keys, store, options["journal"])
    items = plan(
        inputs,
        options["output"],
        recursive=options["recursive"],
        suffix=options["suffix"],
        encrypting=True,
        guarded=guarded,
    )
    check_outputs(
        items,
        options["metadata"],
        binary=True,
        force=options["force"],
        guarded=guarded,
        journal=options["journal"],
    )
    settings: dict[str, Any] = {
        "algorithm_suite": suite,
        "commitment_policy": (
            CommitmentPolicy.FORBID_ENCRYPT_ALLOW_DECRYPT
            if forbids
            else CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT
        ),
        "sign": options["sign"],
        "frame_length": options["frame_length"],
        "limits": Limits(max_encrypted_data_keys=options["max_encrypted_data_keys"]),
    }
    many = Many.of(options, items, caching)
    with closing(store):
        if many is not None:
            check_keys(keys, store)
            # Here too, though workers make their own: it warns, fails, and makes the default key, once.
            with counted_calls() as making:
                encrypting_keyring(keys, store)
            code = _by_workers(many, making, items, keys, caching, pairs, options, settings)
        else:
            with materials_manager(
                lambda: _requiring(encrypting_keyring(keys, store), options["required_keys"]), caching
            ) as manager:
                client = Client(materials_manager=manager, threads=options["threads"], **settings)
                code = run_items(
                    "encrypt",
                    items,
                    lambda item, progress: encrypt_item(
                        client, item, overwrite=options["force"], context=pairs, progress=progress
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
    context: Mapping[str, str],
    options: Mapping[str, Any],
    settings: Mapping[str, Any],
) -> ExitCode:
    from envelope_sdk import bulk
    from envelope_sdk.cli.workers import recipe_of, run_many, threads_each

    recipe = recipe_of(
        keys,
        caching,
        store=options["kms_store"],
        encrypting=True,
        threads=threads_each(options["threads"], many.jobs),
        required_context_keys=options["required_keys"],
        **settings,
    )
    operation = bulk.Encrypt(encryption_context=context, overwrite=options["force"])
    return run_many("encrypt", items, operation, recipe, many, making)


def _requiring(keyring: Keyring, required_keys: tuple[str, ...]) -> Keyring | MaterialsManager:
    if not required_keys:
        return keyring
    from envelope_sdk.managers.required_context import RequiredContextMaterialsManager

    return RequiredContextMaterialsManager(keyring, required_keys)
