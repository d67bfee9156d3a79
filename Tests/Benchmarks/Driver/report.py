"""From figures of runs to a table."""

from statistics import median

from scenarios import METRICS


def compare(scenario, runs):
    """Rows (metric, reference, candidate, ratio, spread, goal, verdict) of one scenario.

    `runs` holds pairs of figures measured one right after the other. The ratio is the median of the pairs'
    ratios, which other work on the machine disturbs less than the ratio of medians; the spread is half the
    distance between their quartiles.
    """
    rows = []
    for metric in METRICS:
        pairs = [(a[metric], b[metric]) for a, b in runs if metric in a and metric in b]
        if not pairs:
            continue
        reference = median(a for a, _ in pairs)
        candidate = median(b for _, b in pairs)
        ratios = sorted(b / a for a, b in pairs if a > 0)
        ratio = median(ratios) if ratios else None
        spread = None
        if len(ratios) >= 3:
            spread = (ratios[(3 * len(ratios) - 1) // 4] - ratios[len(ratios) // 4]) / 2
        goal, verdict = "", ""
        if metric in scenario.ratios:
            limit = scenario.ratios[metric]
            goal, verdict = f"≤ {limit:.2f} ×", "OK" if ratio is not None and ratio <= limit else "MISS"
        elif metric in scenario.least:
            limit = scenario.least[metric]
            goal, verdict = f"≥ {limit:.2f} ×", "OK" if ratio is not None and ratio >= limit else "MISS"
        elif metric in scenario.limits:
            limit = scenario.limits[metric]
            goal, verdict = f"≤ {limit}", "OK" if candidate <= limit else "MISS"
        rows.append((metric, reference, candidate, ratio, spread, goal, verdict))
    return rows


def heading():
    """The first line of the table."""
    return f"{'':34}{'reference':>12}{'candidate':>12}{'ratio':>8}{'±':>7}  {'goal':10}"


def lines(scenario, rows):
    """The lines of one scenario."""
    yield f"{scenario.name}: {scenario.title}, {scenario.clients} client{'s' if scenario.clients > 1 else ''}"
    for metric, reference, candidate, ratio, spread, goal, verdict in rows:
        shown_ratio = "" if ratio is None else f"{ratio:.3f}"
        shown_spread = "" if spread is None else f"{spread:.3f}"
        yield (
            f"    {METRICS[metric]:30}{_number(reference):>12}{_number(candidate):>12}"
            f"{shown_ratio:>8}{shown_spread:>7}  {goal:10}{verdict}"
        ).rstrip()


def _number(value):
    return f"{value:,.0f}" if value >= 1000 else f"{value:.1f}"
