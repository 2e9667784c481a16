"""Plots as SVG: panels one below the other over one axis. matplotlib (tools/setup bench) is needed only here."""

import collections

COLOURS = {"product": "#1f5fa8", "floor": "#c4480e"}
OTHERS = "#1f5fa8", "#3c8d40", "#8a4fa0"
GREY = "#666666"
HEAD_INCHES, PANEL_INCHES = 0.65, 2.2

# curves: {name: (x, y)}; spread: [(least, most)] of the first curve's points; level: (value, its name)
Panel = collections.namedtuple("Panel", "title curves spread level", defaults=(None, None))


def library():
    try:
        import matplotlib
    except ImportError:
        raise SystemExit("plots need matplotlib: tools/setup bench installs it") from None
    matplotlib.use("svg")
    matplotlib.rcParams.update({
        "svg.hashsalt": "oncesink",     # the same figures give the same file
        "svg.fonttype": "none", "font.family": "sans-serif", "font.size": 10,
        "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.color": "#dddddd"})
    import matplotlib.pyplot
    return matplotlib.pyplot


def draw_panel(axes, panel):
    for number, (name, (x, y)) in enumerate(panel.curves.items()):
        axes.plot(x, y, marker="o" if len(x) <= 20 else None, markersize=4, linewidth=1.6, label=name,
                  color=COLOURS.get(name, OTHERS[number % len(OTHERS)]))
    if panel.spread:
        x = next(iter(panel.curves.values()))[0]
        axes.fill_between(x, *zip(*panel.spread), color=OTHERS[0], alpha=0.15, linewidth=0, label="least to most")
    if panel.level:
        axes.axhline(panel.level[0], color=GREY, linestyle=":", label=panel.level[1])
    axes.set_title(panel.title, loc="left", fontsize=10)
    axes.set_ylim(bottom=0)
    axes.margins(x=0.03)
    if len(panel.curves) > 1 or panel.level or panel.spread:
        axes.legend(frameon=False, fontsize=9)


def panels(path, title, about, contents, x_title, logarithmic=False):
    """Draws them into a file; x_title is of the axis that they share."""
    pyplot = library()
    height = HEAD_INCHES + PANEL_INCHES * len(contents)
    figure, rows = pyplot.subplots(len(contents), 1, sharex=True, squeeze=False, figsize=(8, height),
                                   layout="constrained")
    figure.get_layout_engine().set(rect=(0, 0, 1, 1 - HEAD_INCHES / height))
    for axes, panel in zip(rows[:, 0], contents):
        draw_panel(axes, panel)
    last = rows[-1, 0]
    if logarithmic:
        ticks = next(iter(contents[0].curves.values()))[0]
        last.set_xscale("log")
        last.minorticks_off()
        last.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    last.set_xlabel(x_title)
    figure.text(0.02, 1 - 0.12 / height, title, fontsize=12, fontweight="bold", va="top")
    figure.text(0.02, 1 - 0.38 / height, about, fontsize=8.5, color=GREY, va="top")
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
