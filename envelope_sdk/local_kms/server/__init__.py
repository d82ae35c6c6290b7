"""The local KMS over HTTP, as ``envelope kms serve`` runs it. Needs the extra ``server``.

From the outside in: ``workers`` (several processes), ``running`` (one), ``background`` (one in a thread, for tests),
``connections`` (limits that hold before a request is whole), ``app`` (what is under which path), ``origins`` (pages in
browsers), ``metrics``, ``logs``, ``clocks``, ``settings``. What requests and answers mean is the affair of ``gateway``,
beside this package.
"""

from __future__ import annotations
