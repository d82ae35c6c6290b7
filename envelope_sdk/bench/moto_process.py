"""The process that moto's server runs in while it is measured."""

from __future__ import annotations

import importlib
import json
import os
import sys
import threading
from typing import Any

__all__ = ["main"]


def _stop_with_parent() -> None:
    while os.read(0, 1):
        pass
    os._exit(0)


def main() -> None:
    """Serve at a free port until the standard input ends.

    Raises:
        ImportError: moto's server is not installed.
    """
    try:
        server: Any = importlib.import_module("moto.server").ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    except ImportError as error:
        raise ImportError("moto's server is not installed: pip install 'moto[server]'") from error
    server.start()
    host, port = server.get_host_and_port()
    sys.stdout.write(json.dumps({"url": f"http://{host}:{port}"}) + "\n")
    sys.stdout.flush()
    waiting = threading.Thread(target=_stop_with_parent)
    waiting.start()
    waiting.join()


if __name__ == "__main__":
    main()
