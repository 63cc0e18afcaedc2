"""Draws the numbers of the benches as SVG files that do not change unless the numbers do.

Four forms of numbers are known:
- lines: {"lines": [{"name", "x", "y", "series": [{"name", "points": [[x, y]]}]}]}, for any bench with curves;
- bars: {"sections": [{"name", "unit", "series": [{"name", "value"}]}]}, for any bench that compares things;
- the proxy bench: {"sections": [{"workload", "series": [{"way", "runs"}]}]};
- the density bench: {"starts", "loads", "open"}.
"""

import argparse
import json
import statistics
import sys
from pathlib import Path

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams.update(
    {
        "svg.hashsalt": "stowage",
        "svg.fonttype": "none",
        "font.family": "sans-serif",
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
        "legend.frameon": False,
    }
)

from matplotlib import pyplot  # noqa: E402  (after the choice of the backend)

# Distinguishable also without color vision; ours is the first.
COLORS = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00"]
GRAY = "#b0b0b0"


def save(figure, path):
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None, "Creator": None})
    pyplot.close(figure)
    # The library leaves spaces at the ends of lines.
    lines = (line.rstrip() for line in path.read_text(encoding="utf-8").splitlines())
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(path)


def number(value):
    """Three digits that count."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def color_of(name):
    return COLORS[0] if "stowage" in name.lower() else GRAY


def bars(sections, path):
    """One row of bars for each section: [(title, unit, [(name, value)])]."""
    sections = [section for section in sections if section[2]]
    if not sections:
        return
    heights = [0.7 + 0.28 * len(series) for _, _, series in sections]
    figure, axes = pyplot.subplots(
        len(sections), 1, figsize=(7, sum(heights)), height_ratios=heights, squeeze=False
    )
    for axis, (title, unit, series) in zip(axes[:, 0], sections):
        names = [name for name, _ in series]
        values = [value for _, value in series]
        axis.barh(range(len(series)), values, color=[color_of(name) for name in names], height=0.7)
        axis.set_yticks(range(len(series)), names)
        axis.invert_yaxis()
        axis.set_xlim(0, max(values) * 1.15 or 1)
        axis.xaxis.set_visible(False)
        axis.spines["bottom"].set_visible(False)
        axis.set_title(f"{title}: {unit}", loc="left", fontsize=9, fontweight="bold")
        for at, value in enumerate(values):
            axis.text(value, at, " " + number(value), va="center", fontsize=8)
    save(figure, path)


def sheet(numbers, folder, stem):
    sections = [
        (section["name"], section["unit"], [(one["name"], one["value"]) for one in section["series"]])
        for section in numbers["sections"]
    ]
    bars(sections, folder / f"{stem}.svg")


def proxy(numbers, folder, stem):
    kinds = [("rate", "calls per second", "throughput"), ("mean_us", "mean latency, us", "latency")]
    for field, unit, name in kinds:
        sections = []
        for section in numbers["sections"]:
            series = [
                (one["way"], statistics.median(run[field] for run in one["runs"]))
                for one in section["series"]
                if one["runs"]
            ]
            sections.append((section["workload"]["name"], unit, series))
        bars(sections, folder / f"{stem}-{name}.svg")


def density(numbers, folder, stem):
    memory(numbers, folder / f"{stem}-memory.svg")
    latency(numbers, folder / f"{stem}-latency.svg")


def memory(numbers, path):
    """Resident memory against models that are loaded."""
    registered = numbers["starts"][-1]
    points = [(0, registered["resident_bytes"])]
    points += [(step["loaded"], step["resident_bytes"]) for step in numbers["loads"]]
    figure, axis = pyplot.subplots(figsize=(7, 3.2))
    loaded, resident = zip(*points)
    axis.plot(loaded, [size / 1e6 for size in resident], "o-", color=COLORS[0], clip_on=False)
    for count, size in points:
        axis.annotate(
            f"{number(size / 1e6)} MB", (count, size / 1e6), xytext=(6, -12), textcoords="offset points"
        )
    empty = numbers["starts"][0]["resident_bytes"] / 1e6
    axis.axhline(empty, color=GRAY, linewidth=1)
    axis.annotate(
        f"no models: {number(empty)} MB",
        (loaded[-1] * 1.12, empty),
        xytext=(0, 4),
        textcoords="offset points",
        ha="right",
    )
    axis.set_xlim(0, loaded[-1] * 1.12)
    axis.set_ylim(0)
    axis.set_xlabel(f"loaded models, of {numbers['models']:,} that are registered")
    axis.set_ylabel("resident memory, MB")
    axis.grid(axis="y", color="#e8e8e8")
    save(figure, path)


def latency(numbers, path):
    """Latencies by percentile: hits of every run, and misses."""
    figure, axis = pyplot.subplots(figsize=(7, 4))
    for color, run in zip(COLORS, numbers["open"]):
        for kind, style in [("hits", "-"), ("misses", "--")]:
            if run[kind]["count"] < 20:
                continue
            # Nines: 0 is the median's end of the scale, 3 is 99.9 %.
            curve = [(percent, ms) for percent, ms in run[kind]["curve"] if 0 < percent < 100 and ms > 0]
            xs = [100 / (100 - percent) for percent, _ in curve]
            axis.plot(xs, [ms for _, ms in curve], style, color=color, label=f"{run['name']}: {kind}")
    axis.set_xscale("log")
    axis.set_yscale("log")
    marks = [50, 90, 99, 99.9, 99.99]
    axis.set_xticks([100 / (100 - mark) for mark in marks], [f"{mark} %" for mark in marks])
    axis.minorticks_off()
    axis.set_xlim(1)
    axis.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axis.set_xlabel("part of the calls")
    axis.set_ylabel("answered within, ms from the scheduled time")
    axis.grid(color="#e8e8e8")
    axis.legend(loc="upper left", fontsize=8)
    save(figure, path)


def lines(charts, path):
    """One small chart for each, two in a row."""
    columns = min(2, len(charts))
    rows = -(-len(charts) // columns)
    figure, axes = pyplot.subplots(rows, columns, figsize=(7, 2.6 * rows if rows > 1 else 3.6), squeeze=False)
    for axis in axes.flat[len(charts) :]:
        axis.set_visible(False)
    for axis, chart in zip(axes.flat, charts):
        for color, series in zip(COLORS, chart["series"]):
            x, y = zip(*series["points"])
            marker = "o-" if len(x) < 10 else "-"
            axis.plot(x, y, marker, color=color, label=series["name"], linewidth=1.2, markersize=3)
        axis.set_title(chart["name"], loc="left", fontsize=9, fontweight="bold")
        axis.set_xlabel(chart["x"])
        axis.set_ylabel(chart["y"])
        axis.grid(color="#e8e8e8")
    axes[0, 0].legend(fontsize=7)
    save(figure, path)


def draw(path, folder):
    numbers = json.loads(path.read_text(encoding="utf-8"))
    if "lines" in numbers:
        lines(numbers["lines"], folder / f"{path.stem}.svg")
        return
    if "open" in numbers and "loads" in numbers:
        density(numbers, folder, path.stem)
        return
    sections = numbers.get("sections", [])
    if sections and all("workload" in section for section in sections):
        proxy(numbers, folder, path.stem)
    elif sections and all("unit" in section for section in sections):
        sheet(numbers, folder, path.stem)
    else:
        sys.exit(f"{path}: neither bars nor the numbers of the proxy bench or the density bench")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--from", dest="source", type=Path, default=Path("target/bench"), metavar="DIR")
    parser.add_argument("--to", type=Path, default=Path("docs/plots"), metavar="DIR")
    args = parser.parse_args()
    files = sorted(args.source.glob("*.json"))
    if not files:
        sys.exit(f"{args.source} has no *.json; the benches write it: scripts/bench.sh")
    args.to.mkdir(parents=True, exist_ok=True)
    for path in files:
        draw(path, args.to)


if __name__ == "__main__":
    main()
