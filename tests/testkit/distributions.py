"""Distributions that bring keyrings, made on the fly: what pip would have left behind had it installed them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

WORKING = """
from envelope_sdk.keyrings import RawAesKeyring

def from_uri(uri):
    uri.check(single=["pad"])
    return RawAesKeyring(uri.scheme, uri.rest, bytes(32))
"""
"""The source of a plug-in that works."""


def install(
    folder: Path, name: str, version: str, entry_points: Mapping[str, str], modules: Mapping[str, str] | None = None
) -> Path:
    """Put a distribution into ``folder``, which is to be on the path.

    Args:
        folder: where.
        name: of the distribution.
        version: of the distribution.
        entry_points: for each scheme ``module:function``.
        modules: sources by module name.
    """
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    lines = [f"{scheme} = {target}" for scheme, target in entry_points.items()]
    (info / "entry_points.txt").write_text("\n".join(["[envelope_sdk.keyrings]", *lines, ""]))
    for module, source in (modules or {}).items():
        (folder / f"{module}.py").write_text(source)
    return folder
