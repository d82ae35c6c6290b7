"""What caching data keys saves: measured side by side, and shown.

``envelope bench`` runs it. From the outside in: what is printed, drawn and written (``report``), what is measured
(``engine``), and the figures that pass between them (``result``).
"""
