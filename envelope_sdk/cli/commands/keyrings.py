"""``envelope keyrings``."""

from __future__ import annotations

import json
import shlex

import click

from envelope_sdk.cli.terminal import printable_name
from envelope_sdk.keyrings.configuration import Configuration, load_configuration
from envelope_sdk.keyrings.registry import KnownScheme, known_schemes

__all__ = ["command"]


@click.command("keyrings", short_help="Show what --key takes.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(as_json: bool) -> None:
    """Show what --key takes: the schemes of URIs, those of plug-ins, and the names that the configuration lists.

    Names stand in the file that ENVELOPE_CONFIG names, or in envelope/config.toml in $XDG_CONFIG_HOME or ~/.config.
    The name 'default' is used where no key is given. No key is opened, and no plug-in's code runs.
    """
    schemes, configuration = known_schemes(), load_configuration()
    names = {name: [str(uri) for uri in configuration.uris(name)] for name in configuration.names}
    if as_json:
        where = None if configuration.path is None else str(configuration.path)
        fields = {"schemes": [scheme._asdict() for scheme in schemes], "configuration": where, "names": names}
        click.echo(json.dumps(fields, indent=2))
        return
    for scheme in schemes:
        click.echo(_line(scheme))
        if scheme.clash is not None:
            click.echo(f"    cannot be used: {scheme.clash}")
    _show_names(configuration, names)


def _line(scheme: KnownScheme) -> str:
    if scheme.distribution is not None:
        return f"{scheme.form}\n    from {scheme.distribution}"
    return f"{scheme.form}\n    {scheme.opens.replace('`', '')}"


def _show_names(configuration: Configuration, names: dict[str, list[str]]) -> None:
    if configuration.path is None:
        return
    click.echo(f"names in {printable_name(str(configuration.path))}:")
    for name, uris in names.items():
        click.echo(f"  keyring://{printable_name(name)}")
        for uri in uris:
            click.echo(f"    {shlex.quote(printable_name(uri))}")
