"""Many files or objects, on any :class:`concurrent.futures.Executor`: see ``docs/bulk.md``.

>>> from envelope_sdk import bulk
>>> recipe = bulk.ClientRecipe(["local-kms://alias/backups"])
>>> with bulk.run(bulk.encrypting("in", "out"), bulk.Encrypt(), client=recipe, executor=bulk.Processes) as results:
...     for result in results:
...         print(result.status, result.item.source)  # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from envelope_sdk.bulk.operations import Decrypt, Encrypt, Item, Operation, Written
    from envelope_sdk.bulk.places import Entry, LocalFiles, Pending, Place, Replacement, ReplacingPlace
    from envelope_sdk.bulk.processes import Processes
    from envelope_sdk.bulk.recipe import CacheLimits, ClientRecipe, OpenedClient
    from envelope_sdk.bulk.results import Progress, Result, Status
    from envelope_sdk.bulk.rotation import Rotate
    from envelope_sdk.bulk.running import Run, run
    from envelope_sdk.bulk.trees import decrypting, encrypting, rotating

__all__ = [
    "CacheLimits",
    "ClientRecipe",
    "Decrypt",
    "Encrypt",
    "Entry",
    "Item",
    "LocalFiles",
    "OpenedClient",
    "Operation",
    "Pending",
    "Place",
    "Processes",
    "Progress",
    "Replacement",
    "ReplacingPlace",
    "Result",
    "Rotate",
    "Run",
    "Status",
    "Written",
    "decrypting",
    "encrypting",
    "rotating",
    "run",
]

_MODULES: Final = {
    "operations": ("Decrypt", "Encrypt", "Item", "Operation", "Written"),
    "places": ("Entry", "LocalFiles", "Pending", "Place", "Replacement", "ReplacingPlace"),
    "processes": ("Processes",),
    "recipe": ("CacheLimits", "ClientRecipe", "OpenedClient"),
    "results": ("Progress", "Result", "Status"),
    "rotation": ("Rotate",),
    "running": ("Run", "run"),
    "trees": ("decrypting", "encrypting", "rotating"),
}
_HOMES: Final = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is: the command line needs little of it to do a single file."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
