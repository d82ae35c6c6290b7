"""Imports every module of the installed package, in an environment that holds its declared dependencies and no more.

Run as a script by the tox environment ``nodeps``. A module that belongs to an extra may refuse to be imported, if it
says how to get what it needs: its ``ImportError`` names ``envelope-sdk[...]``.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
from pathlib import Path


def refuses_politely(error: ImportError) -> bool:
    """Whether the error tells its reader which extra to install."""
    return "envelope-sdk[" in str(error)


def main() -> int:
    """Import everything; return the exit status."""
    package = importlib.import_module("envelope_sdk")
    checkout = Path(__file__).resolve().parents[1]
    if Path(str(package.__file__)).resolve().is_relative_to(checkout / "envelope_sdk"):
        print("this is the checkout, not the installed wheel: set PYTHONSAFEPATH=1")
        return 1
    failures = imported = 0
    for module in pkgutil.walk_packages(package.__path__, "envelope_sdk.", onerror=lambda _: None):
        if module.name.endswith("__main__"):
            continue
        try:
            importlib.import_module(module.name)
        except ImportError as error:
            if not refuses_politely(error):
                print(f"{module.name}: {error}")
                failures += 1
        else:
            imported += 1
    print(f"{imported} modules imported, {failures} failed")
    return 1 if failures or not imported else 0


if __name__ == "__main__":
    sys.exit(main())
