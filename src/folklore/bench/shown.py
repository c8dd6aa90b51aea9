"""The outcome on the terminal, and as a figure."""

from __future__ import annotations

import statistics
from pathlib import Path

from rich.console import Console
from rich.table import Table

from folklore.bench.clocks import PEAK, SMALL

NARROWEST = 144  # columns of the table, where there is no terminal to fit
RIVALS = ("plain", "Lightning", "JAX")


def show(outcome: dict, console: Console) -> None:
    """The table, and how to read it."""
    console = console if console.is_terminal else Console(highlight=False, width=NARROWEST)
    console.print(table(outcome))
    console.print(
        f"{outcome['machine']['cpu']}, torch {outcome['machine']['torch']}, one core; "
        f"medians of {outcome['repetitions']} repetitions, in brackets the smallest and the largest.\n"
        "Plain: the fastest form of a plain PyTorch loop. Gains: time of the other over time of the stack. Most possible: time of "
        f"the plain loop over that of its matrix products alone at this core's peak ({peak(outcome):.0f} GFLOP/s in a {PEAK} x "
        f"{PEAK} product, or in many of {SMALL} x {SMALL}).\n"
        "Where it is small, arithmetic is what the plain loop spends its time on, and no stacking can gain more."
    )
    if outcome["missing"]:
        console.print(
            f"Not installed, so not measured: {', '.join(outcome['missing'])}; get them by: make bench"
        )
    if outcome.get("side_by_side"):
        console.print(side_by_side_in_words(outcome["side_by_side"]))
    if "pipelines" in outcome:
        console.print(pipelines_in_words(outcome["pipelines"]))


def side_by_side_in_words(rows: list[dict]) -> str:
    """What two jobs do in the time of one, by net and batch size."""
    nets = dict.fromkeys(row["net"] for row in rows)
    found = {
        net: ", ".join(
            f"{row['work']['median']:.2f} at batch {row['batch_size']}" for row in rows if row["net"] == net
        )
        for net in nets
    }
    return (
        "Work of two jobs at once on two cores, in that of one alone: "
        + "; ".join(f"{net}: {said}" for net, said in found.items())
        + "."
    )


def pipelines_in_words(found: dict) -> str:
    """From configuration to MLflow."""
    timed = " and ".join(f"{s:.1f} s for {count} runs" for count, s in found["hydra_seconds"].items())
    return (
        f"From configuration to MLflow, one-epoch runs: Folklore {found['stacked_seconds']:.1f} s for {found['runs']} "
        f"({found['stacked_runs_a_minute']:,.0f} a minute); Hydra's --multirun with MLflow {timed}, so "
        f"{found['hydra_extrapolated_seconds']:.0f} s for {found['runs']} if they go on like this: {found['gain']:.0f} times as long."
    )


def peak(outcome: dict) -> float:
    return statistics.median(row["peak_gflops"]["median"] for row in outcome["rows"])


def table(outcome: dict) -> Table:
    title = "3 x 100 MLP: microseconds an update of one network, alone and in a stack"
    built = Table(title=title, title_justify="left", box=None, pad_edge=False)
    columns = (
        "net",
        "batch",
        "stack",
        "plain",
        "Lightning",
        "JAX,\nstacked",
        "Folklore",
        "gain over\nplain",
        "over\nLightning",
    )
    for name in (*columns, "over\nJAX", "most\npossible", "% of peak:\nplain, Folklore"):
        built.add_column(name, justify="left" if name == "net" else "right", no_wrap=name != "net")
    for row in outcome["rows"]:
        built.add_row(row["net"], str(row["batch_size"]), str(row["width"]), *cells(row))
    return built


def cells(row: dict) -> list[str]:
    times = {"plain": row["plain_us"][row["plain_fastest"]], **row["rival_us"]}
    shares = (row["share_of_peak"][name] for name in ("plain", "stacked"))
    return [
        *(f"{times[name]['median']:.0f}" if name in times else "" for name in RIVALS),
        f"{row['stacked_us']['median']:.0f}",
        *(spread(row["gain"][name]) if name in times else "" for name in RIVALS),
        f"{row['most_possible_gain']['median']:.1f}",
        ", ".join(f"{100 * share['median']:.0f}" for share in shares),
    ]


def spread(found: dict[str, float]) -> str:
    return f"{found['median']:.1f} \\[{found['min']:.1f}-{found['max']:.1f}]"


def draw(outcome: dict, stem: Path) -> None:
    """Gains over every rival by batch size, a panel for each net."""
    from folklore.figures import style

    style.apply()
    nets = list(dict.fromkeys(row["net"] for row in outcome["rows"]))
    figure, axes = style.new(6.5, ncols=len(nets), sharey=True)
    for ax, net in zip(axes, nets, strict=True):
        rows = [row for row in outcome["rows"] if row["net"] == net]
        for k, rival in enumerate(r for r in RIVALS if r in rows[0]["gain"]):
            batches, found = [row["batch_size"] for row in rows], [row["gain"][rival] for row in rows]
            color, name = style.PALETTE[k], {"plain": "plain PyTorch"}.get(rival, rival)
            ax.fill_between(
                batches, [f["min"] for f in found], [f["max"] for f in found], color=color, alpha=0.2
            )
            ax.plot(batches, [f["median"] for f in found], "os^"[k], linestyle="-", color=color, label=name)
        ax.axhline(1, color=style.MUTED, linewidth=0.8, zorder=0)
        ax.set_xscale("log", base=2)
        ax.set_yscale("log", base=2)
        ax.set_xticks(batches, [str(b) for b in batches])
        ax.set_title(net)
        ax.set_xlabel("batch size")
    axes[0].set_ylabel("times as fast as")
    axes[0].yaxis.set_major_formatter("{x:g}")
    axes[-1].legend(loc="upper right")
    words = "; ".join(
        f"{row['net']}, batch {row['batch_size']}: "
        + ", ".join(f"{found['median']:.1f} x {rival}" for rival, found in row["gain"].items())
        for row in outcome["rows"]
    )
    style.save(figure, stem, f"How many times as fast as others a stack trains, by batch size: {words}.")
