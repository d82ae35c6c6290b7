"""What a run has measured, shown: as Markdown, as one picture, and as a page to forward.

From the outside in: ``files`` (a folder of all), ``page``, ``markdown``, ``picture`` (needs matplotlib), ``columns``,
``story`` (sentences, and which rows tell them), ``rows``, ``wording``.
"""

from __future__ import annotations

from envelope_sdk.bench.report.files import write_report
from envelope_sdk.bench.report.markdown import as_markdown
from envelope_sdk.bench.report.page import as_html

__all__ = ["as_html", "as_markdown", "write_report"]
