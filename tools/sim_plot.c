/* A run as an SVG file: plain lines and texts, no script, no font but the viewer's. */
#include "sim_plot.h"

#include "mem.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

enum {
    POINTS_MAX = 20000,
    DOTS_MAX = 150, /* up to so many points each has a dot */
    WIDTH = 960,
    LEFT = 90,
    RIGHT = 24,
    TOP = 44,
    PANEL_HEIGHT = 190,
    PANEL_GAP = 56,
    PANELS = 3,
    HEIGHT = TOP + PANELS * (PANEL_HEIGHT + PANEL_GAP),
    TICKS = 5,
    X_TICKS = 8,
};

enum series { RECORDS, RATE, REACHED, SCHEDULING, PROCESSING };

#define HEADROOM 1.05 /* above the highest point */

static const struct panel {
    const char *title;
    struct panel_series {
        const char *name;
        const char *colour;
        enum series series;
    } series[2];
    size_t count;
} PANEL[PANELS] = {
    {"records of a batch", {{"records", "#1f5fa8", RECORDS}}, 1},
    {"records per second",
     {{"rate in force", "#c4480e", RATE}, {"reached by the batch", "#1f5fa8", REACHED}},
     2},
    {"delay, seconds",
     {{"scheduling", "#c4480e", SCHEDULING}, {"processing", "#1f5fa8", PROCESSING}},
     2},
};

void plot_init(struct plot *plot, int64_t interval_ms)
{
    *plot = (struct plot){.interval_ms = interval_ms, .stride = 1};
    plot->points = mem_array(POINTS_MAX, sizeof(*plot->points));
}

void plot_deinit(struct plot *plot)
{
    free(plot->points);
    *plot = (struct plot){0};
}

static const struct plot_point *later(const struct plot_point *a, const struct plot_point *b)
{
    return a->values[SCHEDULING] >= b->values[SCHEDULING] ? a : b;
}

static void thin_out(struct plot *plot)
{
    for (size_t i = 0; i + 1 < plot->count; i += 2) {
        plot->points[i / 2] = *later(&plot->points[i], &plot->points[i + 1]);
    }
    plot->count /= 2;
    plot->stride *= 2;
}

void plot_add(struct plot *plot, const struct sim_batch *batch)
{
    struct plot_point point = {
        .at_s = (double)batch->tick_ms / 1000,
        .values = {[RECORDS] = (double)batch->records,
                   [RATE] = batch->rate > 0 ? (double)batch->rate : NAN,
                   [REACHED] = batch->processing_ms > 0
                                   ? (double)batch->records * 1000 / (double)batch->processing_ms
                                   : NAN,
                   [SCHEDULING] = (double)batch->scheduling_ms / 1000,
                   [PROCESSING] = (double)batch->processing_ms / 1000}};

    if (plot->passed++ % plot->stride != 0) {
        struct plot_point *last = &plot->points[plot->count - 1];

        *last = *later(last, &point);
        return;
    }
    if (plot->count == POINTS_MAX) {
        thin_out(plot);
    }
    plot->points[plot->count++] = point;
}

/* ---- drawing ---- */

/* From one mark of an axis to the next: 1, 2 or 5 with zeros, so that there are about `marks`. */
static double step_of(double most, int marks)
{
    double raw = most / marks;
    double power = pow(10, floor(log10(raw)));
    double factor = raw / power;

    return power * (factor <= 1 ? 1 : factor <= 2 ? 2 : factor <= 5 ? 5 : 10);
}

struct axes {
    double first_s, last_s, most; /* what the panel shows */
    double top;                   /* of the panel, in the picture */
};

static double x_of(const struct axes *axes, double at_s)
{
    return LEFT + (at_s - axes->first_s) / (axes->last_s - axes->first_s) * (WIDTH - LEFT - RIGHT);
}

static double y_of(const struct axes *axes, double value)
{
    return axes->top + PANEL_HEIGHT * (1 - value / axes->most);
}

static double most_of(const struct plot *plot, const struct panel *panel)
{
    double most = 0;

    for (size_t s = 0; s < panel->count; s++) {
        for (size_t i = 0; i < plot->count; i++) {
            most = fmax(most, plot->points[i].values[panel->series[s].series]);
        }
    }
    return most;
}

static void draw_axes(const struct axes *axes, const struct panel *panel, bool last, FILE *out)
{
    double step = step_of(axes->most, TICKS);
    double step_s = step_of(axes->last_s - axes->first_s, X_TICKS);
    double bottom = axes->top + PANEL_HEIGHT;

    fprintf(out, "<text x=\"%d\" y=\"%.1f\" font-weight=\"bold\">%s</text>\n", LEFT, axes->top - 10,
            panel->title);
    for (int mark = 0; mark * step <= axes->most * 1.0001; mark++) {
        double y = y_of(axes, mark * step);

        fprintf(out,
                "<path d=\"M%d %.1fH%d\" stroke=\"#ddd\"/>"
                "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%.6g</text>\n",
                LEFT, y, WIDTH - RIGHT, LEFT - 8, y + 4, mark * step);
    }
    for (int mark = 0; axes->first_s + mark * step_s <= axes->last_s * 1.0001; mark++) {
        double at_s = axes->first_s + mark * step_s;

        fprintf(out,
                "<path d=\"M%.1f %.1fV%.1f\" stroke=\"#ddd\"/>"
                "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%.10g</text>\n",
                x_of(axes, at_s), axes->top, bottom, x_of(axes, at_s), bottom + 16, at_s);
    }
    fprintf(out, "<path d=\"M%d %.1fV%.1fH%d\" stroke=\"#333\" fill=\"none\"/>\n", LEFT, axes->top,
            bottom, WIDTH - RIGHT);
    if (last) {
        fprintf(out, "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">time, seconds</text>\n",
                WIDTH - RIGHT, bottom + 34);
    }
}

static void draw_series(const struct plot *plot, const struct axes *axes,
                        const struct panel_series *series, FILE *out)
{
    char command = 'M';

    fprintf(out, "<path fill=\"none\" stroke=\"%s\" stroke-width=\"1.6\" d=\"", series->colour);
    for (size_t i = 0; i < plot->count; i++) {
        double value = plot->points[i].values[series->series];

        if (isnan(value)) {
            command = 'M';
            continue;
        }
        fprintf(out, "%c%.1f %.1f", command, x_of(axes, plot->points[i].at_s), y_of(axes, value));
        command = 'L';
    }
    fputs("\"/>\n", out);
    for (size_t i = 0; plot->count <= DOTS_MAX && i < plot->count; i++) {
        double value = plot->points[i].values[series->series];

        if (!isnan(value)) {
            fprintf(out, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"2.4\" fill=\"%s\"/>\n",
                    x_of(axes, plot->points[i].at_s), y_of(axes, value), series->colour);
        }
    }
}

static void draw_legend(const struct axes *axes, const struct panel *panel, FILE *out)
{
    int x = WIDTH - RIGHT;

    for (size_t s = panel->count; panel->count > 1 && s-- > 0;) {
        fprintf(out, "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\" fill=\"%s\">● %s</text>\n", x,
                axes->top - 10, panel->series[s].colour, panel->series[s].name);
        x -= 170;
    }
}

static void draw_panel(const struct plot *plot, size_t index, FILE *out)
{
    const struct panel *panel = &PANEL[index];
    double interval_s = (double)plot->interval_ms / 1000;
    bool has_interval = index == PANELS - 1 && plot->interval_ms > 0;
    double most = most_of(plot, panel);
    struct axes axes = {
        .first_s = 0,
        .last_s = plot->points[plot->count - 1].at_s,
        .top = TOP + (double)index * (PANEL_HEIGHT + PANEL_GAP),
    };

    if (axes.last_s <= axes.first_s) {
        axes.last_s = axes.first_s + 1;
    }
    most = has_interval ? fmax(most, interval_s) : most;
    most = most > 0 ? most * HEADROOM : 1;
    axes.most = ceil(most / step_of(most, TICKS)) * step_of(most, TICKS);
    draw_axes(&axes, panel, index == PANELS - 1, out);
    draw_legend(&axes, panel, out);
    if (has_interval) {
        fprintf(out,
                "<path d=\"M%d %.1fH%d\" stroke=\"#666\" stroke-dasharray=\"5 4\"/>"
                "<text x=\"%d\" y=\"%.1f\" fill=\"#666\" text-anchor=\"end\">interval</text>\n",
                LEFT, y_of(&axes, interval_s), WIDTH - RIGHT, WIDTH - RIGHT - 6,
                y_of(&axes, interval_s) + 15);
    }
    for (size_t s = 0; s < panel->count; s++) {
        draw_series(plot, &axes, &panel->series[s], out);
    }
}

void plot_write(const struct plot *plot, FILE *out)
{
    fprintf(out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 "
            "%d %d\" font-family=\"sans-serif\" font-size=\"13\">\n"
            "<rect width=\"%d\" height=\"%d\" fill=\"#fff\"/>\n",
            WIDTH, HEIGHT, WIDTH, HEIGHT, WIDTH, HEIGHT);
    for (size_t i = 0; plot->count > 0 && i < PANELS; i++) {
        draw_panel(plot, i, out);
    }
    fputs("</svg>\n", out);
}
