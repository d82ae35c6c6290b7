"""How the page looks: on light and dark screens, narrow and wide, and on paper."""

from __future__ import annotations

from typing import Final

from envelope_sdk.bench.report.palette import DARK, LIGHT, NAMES

__all__ = ["STYLE"]


def _named(palette: tuple[str, ...]) -> str:
    return " ".join(f"--{name}: {colour};" for name, colour in zip(NAMES, palette, strict=True))


def _recoloured() -> str:
    """Return rules that give the picture, which says its colours shape by shape, those of the page."""
    pairs = [(kind, name, colour) for kind in ("fill", "stroke") for name, colour in zip(NAMES, LIGHT, strict=True)]
    rule = 'figure svg [style*="{0}: {2}"] {{ {0}: var(--{1}) !important; }}'
    return "\n".join(rule.format(*pair) for pair in pairs)


STYLE: Final = f"""
:root {{ color-scheme: light dark; {_named(LIGHT)} }}
@media screen and (prefers-color-scheme: dark) {{ :root {{ {_named(DARK)} }} }}
* {{ box-sizing: border-box; }}
html {{ -webkit-text-size-adjust: 100%; text-size-adjust: 100%; }}
body {{
  margin: 0 auto; padding: 2rem 1.25rem 3rem; max-width: 78rem;
  background: var(--paper); color: var(--ink);
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
}}
h1 {{ margin: 0 0 .25rem; font-size: 1rem; font-weight: 600; color: var(--faint); }}
h2 {{ margin: 2.5rem 0 .5rem; font-size: 1.25rem; line-height: 1.3; }}
h3 {{ margin: 2rem 0 .25rem; font-size: 1.05rem; line-height: 1.3; }}
p, ul, dl {{ margin: .5rem 0; }}
ul {{ padding-left: 1.2rem; }}
li + li {{ margin-top: .3rem; }}
.lead {{ margin: 0 0 1rem; font-size: clamp(1.3rem, 3.2vw, 1.75rem); line-height: 1.3; font-weight: 650; }}
h1, h2, h3, p, ul, dl {{ max-width: 54rem; }}
.lead, li, dd, code {{ overflow-wrap: anywhere; }}
.faint {{ color: var(--faint); font-size: .9rem; }}
figure {{ margin: 2rem 0; overflow-x: auto; }}
figure svg {{ display: block; width: 100%; min-width: 34rem; max-width: 54rem; height: auto; }}
{_recoloured()}
.wide {{ overflow-x: auto; }}
table {{ border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums; width: 100%; }}
th, td {{ padding: .35rem .45rem; text-align: right; white-space: nowrap; vertical-align: bottom; }}
thead th {{ font-weight: 600; color: var(--faint); border-bottom: 2px solid var(--rule); white-space: normal; }}
th.label, td.label {{ text-align: left; }}
tbody th {{ font-weight: 400; position: sticky; left: 0; background: var(--paper); }}
tr.cached th, tr.cached td.label {{ font-weight: 600; }}
tbody tr {{ border-bottom: 1px solid var(--rule); }}
tr.cached, tr.cached th {{ background: var(--tint); }}
dl {{ display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1.25rem; font-size: .95rem; }}
dt {{ color: var(--faint); }}
dd {{ margin: 0; }}
pre {{ padding: .75rem 1rem; border: 1px solid var(--rule); border-radius: .4rem; white-space: pre-wrap; }}
code {{ font: .9rem/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; }}
@media (max-width: 36rem) {{
  dl {{ grid-template-columns: 1fr; gap: 0; }}
  dd {{ margin-bottom: .5rem; }}
}}
@media print {{
  body {{ padding: 0; max-width: none; font-size: 9.5pt; }}
  table {{ font-size: 7.5pt; }}
  th, td {{ padding: .2rem .3rem; }}
  figure, table, tr, pre {{ break-inside: avoid; }}
  h2, h3, .faint {{ break-after: avoid; }}
  figure svg {{ min-width: 0; }}
  figure, .wide {{ overflow: visible; }}
}}
"""
"""A style sheet. It refers to nothing outside of the page."""
