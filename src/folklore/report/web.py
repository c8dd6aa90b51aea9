"""The web page: the document of the PDF as one HTML file that needs nothing beside itself, with a chart to hover over and filters.

Figures and the chart's library are held compressed, which makes the page a quarter as large; the browser unpacks those of a
claim when a reader opens it.
"""

from __future__ import annotations

import base64
import gzip
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from plotly import graph_objects
from plotly.offline import get_plotlyjs

from folklore.figures import overview, style
from folklore.report.claim import family_name
from folklore.report.words import Claim, amount, paragraph, tidy, verdict_name

TEMPLATE = "page.html.j2"
ROW_PX = 19
SYMBOLS = {"supported": "circle", "refuted": "x", "inconclusive": "circle-open"}
TICKS = (1, 3, 10, 30, 100, 300, 1000)


def page(
    data: Mapping[str, object],
    verdicts: Mapping[str, object],
    folder: Path,
    templates: Path,
    pdf: str,
    formulas: Sequence[bytes] = (),
) -> str:
    """HTML of `data`, the content of data.json, with the figures that lie in `folder`; pdf: the address of the other form.

    formulas: an SVG of each formula of the claims, in their order.
    """
    known = {claim["id"]: claim for claim in verdicts["claims"]}
    pictures = iter(formulas)
    claims = [
        shown | {"formulas": _pictured(shown["formulas"], pictures)} | _looked_up_by(known[shown["id"]])
        for shown in data["claims"]
    ]
    environment = Environment(
        loader=FileSystemLoader(templates),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "worded": worded,
        "embedded": lambda one: packed((folder / one["path"]).read_bytes()),
        "shape": lambda one: shape((folder / one["path"]).read_bytes()),
    }
    lectures = {n: name for claim in verdicts["claims"] for n, name in _lectures(claim).items()}
    return environment.get_template(TEMPLATE).render(
        data=data,
        pdf=pdf,
        claims=sorted(claims, key=lambda claim: claim["family"]),
        verdicts=Counter(claim["verdict"] for claim in claims),
        lectures=dict(sorted(lectures.items())),
        families=sorted({claim["family"] for claim in claims}),
        chart=in_script(chart(verdicts["claims"])),
        plotly=packed(get_plotlyjs().encode()),
    )


def worded(text: str) -> Markup:
    """Escaped text in which `backquotes` mean code."""
    parts = str(text).split("`")
    if len(parts) % 2 == 0:
        return escape(text)
    return Markup("").join(Markup("<code>{}</code>").format(p) if i % 2 else p for i, p in enumerate(parts))


def packed(content: bytes) -> str:
    """Compressed, and in letters that HTML can hold."""
    return base64.b64encode(gzip.compress(content, 9, mtime=0)).decode()


def shape(svg: bytes) -> tuple[str, str]:
    """The width and height that a figure says of itself, in points."""
    head = svg[:2000].decode(errors="ignore")
    return tuple(re.search(rf'<svg[^>]*\b{side}="([\d.]+)', head)[1] for side in ("width", "height"))


def _pictured(formulas: Sequence[Mapping[str, str]], pictures: Iterator[bytes]) -> list[dict[str, str]]:
    """Formulas with the pictures of them."""
    return [
        {"form": one["form"], "words": one["words"], "packed": packed(svg), "shape": shape(svg)}
        for one, svg in zip(formulas, pictures, strict=False)
    ]


def in_script(json: str) -> Markup:
    """JSON that cannot end the script element which holds it."""
    return Markup(json.replace("<", "\\u003c"))


def chart(claims: Sequence[Claim]) -> str:
    """The forest plot of all measured claims, a trace for each verdict, as Plotly's JSON."""
    table = overview.frame(claims).reset_index(drop=True)
    known = {claim["id"]: claim for claim in claims}
    table["id"] = table["label"].str.removesuffix(" *")
    figure = graph_objects.Figure()
    for verdict in overview.MEASURED:
        mine = table[table["verdict"] == verdict]
        if len(mine):
            figure.add_trace(_trace(verdict, mine.to_dict("records"), known))
    reach = max([1.0, *table["hi"].abs(), *table["lo"].abs()]) if len(table) else 1.0
    ticks = [sign * tick for tick in TICKS for sign in (-1, 1) if tick <= reach] + [0]
    figure.add_vrect(x0=-math.asinh(1), x1=math.asinh(1), fillcolor="#efefef", line_width=0, layer="below")
    figure.update_layout(
        height=110 + ROW_PX * len(table),
        margin={"l": 8, "r": 8, "t": 8, "b": 8},
        paper_bgcolor="white",
        plot_bgcolor="white",
        font={"family": "system-ui, sans-serif", "size": 12, "color": "#1d1d1d"},
        legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0},
        hoverlabel={"align": "left"},
        xaxis={
            "tickvals": [math.asinh(tick) for tick in ticks],
            "ticktext": [f"{tick:,}".replace("-", "\u2212") for tick in ticks],
            "title": overview.XLABEL,
            "gridcolor": "#e4e4e4",
            "zerolinecolor": "#5f5f5f",
            "fixedrange": True,
        },
        yaxis={
            "categoryorder": "array",
            "categoryarray": list(table["id"])[::-1],
            "automargin": True,
            "fixedrange": True,
            "range": [-0.7, len(table) - 0.3],
        },
    )
    return figure.to_json()


def _trace(
    verdict: str, rows: Sequence[Mapping[str, object]], known: Mapping[str, Claim]
) -> graph_objects.Scatter:
    """Marks with intervals on an axis that is linear near zero and logarithmic far out (the inverse hyperbolic sine)."""
    effect, low, high = ([math.asinh(row[name]) for row in rows] for name in ("effect", "lo", "hi"))
    return graph_objects.Scatter(
        x=effect,
        y=[row["id"] for row in rows],
        name=verdict,
        mode="markers",
        marker={
            "color": style.VERDICT_COLOURS[verdict],
            "symbol": SYMBOLS[verdict],
            "size": 9,
            "line": {"width": 2, "color": style.VERDICT_COLOURS[verdict]},
        },
        error_x={
            "symmetric": False,
            "array": [h - e for h, e in zip(high, effect, strict=True)],
            "arrayminus": [e - least for e, least in zip(effect, low, strict=True)],
            "thickness": 2,
            "width": 0,
        },
        hovertemplate="%{customdata}<extra></extra>",
        customdata=[_hover(known[row["id"]]) for row in rows],
    )


def _hover(claim: Claim) -> str:
    """What a mark says: Plotly reads a little HTML there."""
    lines = [
        f"<b>{escape(tidy(claim['title']))}</b>",
        escape(verdict_name(claim)) + (" (fragile)" if claim.get("fragile") else ""),
        escape(amount(claim)),
        f"n = {claim.get('n')}; {claim.get('runs')} networks; click for the claim",
    ]
    return "<br>".join(map(str, lines))


def _looked_up_by(claim: Claim) -> dict[str, object]:
    """What the filters of the page go by."""
    words = (claim["id"], claim["title"], family_name(claim), claim.get("paper"), *(claim.get("rule") or []))
    return {
        "lectures": sorted(_lectures(claim)),
        "effect": amount(claim),
        "words": paragraph(" ".join(str(word or "") for word in words)).lower(),
    }


def _lectures(claim: Claim) -> dict[int, str]:
    return dict(zip(claim.get("lectures") or [], claim.get("lecture_names") or [], strict=False))
