"""Keyrings: the ways to wrap a data key. Imported as ``envelope_sdk.keyrings``."""

if __name__ == "keyrings":
    # The root of a checkout is on sys.path: keep PyPI's ``keyrings.*`` namespace reachable past this directory.
    __path__ = __import__("pkgutil").extend_path(__path__, __name__)
