"""The entry point: finds the command, runs it, and turns whatever goes wrong into a line and a code."""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import sys
from typing import Final, NoReturn

import click

from envelope_sdk.cli.terminal import ExitCode, report

__all__ = ["cli", "entry"]

_COMMANDS: Final = {
    "encrypt": "envelope_sdk.cli.commands.encrypt",
    "decrypt": "envelope_sdk.cli.commands.decrypt",
    "inspect": "envelope_sdk.cli.commands.inspect",
    "keygen": "envelope_sdk.cli.commands.keygen",
    "kms": "envelope_sdk.cli.commands.kms",
}


class _Commands(click.Group):
    """Imports a command's module only when that command is wanted, so that starting stays quick."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = importlib.import_module(_COMMANDS[cmd_name]).command
        return command


def _version() -> str:
    from importlib.metadata import version

    return version("envelope-sdk")


def _print_version(ctx: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
    if wanted:
        click.echo(f"envelope {_version()}")
        ctx.exit()


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version, help="Show it.")
def cli() -> None:
    """Encrypt and decrypt files in the AWS Encryption SDK message format.

    Without further ado, keys come from a local KMS in your home directory: 'envelope encrypt FILE' makes one on first
    use.
    """


def entry() -> NoReturn:
    """Run the command line and end the process.

    Exit codes: 0 done, 1 some items failed, 2 usage, 3 integrity, 4 key not accessible or denied, 5 temporary or
    throttled, 130 interrupted.
    """
    # A stopped process cleans up as an interrupted one does.
    with contextlib.suppress(ValueError, OSError):
        signal.signal(signal.SIGTERM, _terminate)
    try:
        code = cli.main(standalone_mode=False)
    except click.exceptions.Exit as done:
        code = done.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        code = ExitCode.USAGE
    except (KeyboardInterrupt, click.Abort):
        code = ExitCode.INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has gone; Python would complain once more when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = ExitCode.SOME_FAILED
    except Exception as error:
        if os.environ.get("ENVELOPE_DEBUG"):
            raise
        code = report(error)
    sys.exit(int(code or 0))


def _terminate(number: int, _frame: object) -> NoReturn:
    sys.exit(128 + number)
