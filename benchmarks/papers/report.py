"""The figures, and README.md with its tables, from the results alone."""

import importlib.resources
import math

from benchmarks.papers import bootstrap
from benchmarks.papers import figures
from benchmarks.papers import verdicts
from benchmarks.papers.claims import CLAIMS
from benchmarks.papers.experiments import configurations
from benchmarks.papers.results import Results

CLAIM_HEAD = (
    *("claim", "source", "paper", "here", "change of the error", "p"),
    *("p, Holm", "verdict"),
)
CONFIGURATION_HEAD = (
    *("configuration", "batch", "steps", "rate", "place in the sweep"),
    *("validation error", "test error"),
)
UNRUN = "These experiments have not yet been run. The claims are:"


def markdown(head, lines):
    """A Markdown table."""
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join(f"| {' | '.join(map(str, row))} |" for row in rows)


def claims_table(claims, found):
    """A row per claim with its verdict."""
    lines = []
    for claim, verdict in zip(claims, found, strict=True):
        cells = [claim.text, claim.source, claim.paper]
        if verdict.comparison is None:
            cells += ["", "", "", "", verdict.text]
        else:
            text = verdict.text
            cells += [
                verdict.comparison.remark,
                change(verdict.comparison.estimate),
                probability(verdict.p),
                probability(verdict.adjusted_p),
                f"**{text}**" if verdict.confirmed else text,
            ]
        lines.append(cells)
    return markdown(CLAIM_HEAD, lines)


def change(estimate):
    """A logarithm of a ratio as a change in percent, with its interval."""
    value = percent(estimate.value)
    if math.isinf(estimate.error):
        return value  # One seed has no interval.
    low, high = map(percent, estimate.interval())
    return f"{value} [{low}, {high}]"


def percent(logarithm):
    return f"{100 * math.expm1(logarithm):+.1f}%"


def probability(p):
    return "< .0001" if p < 1e-4 else f"{p:.4f}".lstrip("0")


def configurations_table(results):
    """A row per configuration that was trained."""
    lines = []
    known = configurations()
    for name in known:
        if name not in results.names():
            continue
        row, configuration = results.rows(name)[0], known[name]
        rate, place = results.rate(name)
        error = bootstrap.estimate(lambda x: x, results.errors(name))
        low, high = (100 * each for each in error.interval())
        validation = results.column(name, "validation_error").mean()
        lines.append(
            [
                *(name, configuration.batch),
                *(int(row["steps"]) * configuration.length, f"{rate:.3g}"),
                *(place, f"{validation:.1f}%"),
                f"{100 * error.value:.1f}% [{low:.1f}, {high:.1f}]",
            ]
        )
    return markdown(CONFIGURATION_HEAD, lines)


def section(results):
    """The part of the report on one data set."""
    all_claims = [claim for group in CLAIMS.values() for claim in group]
    found = iter(verdicts.judge_all(all_claims, results))
    parts = [f"## Results on {results.dataset}"]
    for title, group in CLAIMS.items():
        judged = [next(found) for _ in group]
        parts += [f"### {title}", claims_table(group, judged)]
    parts += ["### Configurations", configurations_table(results)]
    return "\n\n".join(parts)


def unrun():
    """The claims, if there are no results."""
    lines = [
        [claim.text, claim.source, claim.paper, verdicts.NOT_RUN]
        for group in CLAIMS.values()
        for claim in group
    ]
    head = (*CLAIM_HEAD[:3], CLAIM_HEAD[-1])
    return f"{UNRUN}\n\n{markdown(head, lines)}"


def results_by_dataset(rows):
    datasets = dict.fromkeys(row["dataset"] for row in rows)
    return [Results(rows, dataset) for dataset in datasets]


def readme(results, drawn):
    """The text of README.md.

    Args:
        results: the `Results` of each data set.
        drawn: the names of the figures that exist.
    """
    files = importlib.resources.files(__package__)
    template = files.joinpath("template.md").read_text()
    sections = [section(each) for each in results] or ["## Results", unrun()]
    images = [f"![{name}]({name}.png)" for name in drawn]
    if images:
        sections += ["## Figures", *images]
    return "\n\n".join([template.rstrip(), *sections]).rstrip() + "\n"


def summary(results):
    """The verdicts of a data set in one line each."""
    all_claims = [claim for group in CLAIMS.values() for claim in group]
    lines = [f"{results.dataset}:"]
    for verdict in verdicts.judge_all(all_claims, results):
        mark = "*" if verdict.confirmed else " "
        lines.append(f"{mark} {verdict.text:15}{verdict.claim.text}")
    lines.append("* agrees also after Holm's correction")
    return "\n".join(lines)


def write(rows, output):
    """Draws the figures, writes README.md and returns the verdicts."""
    results = results_by_dataset(rows)
    drawn = []
    for name in figures.FIGURES if results else ():
        try:
            figures.draw(results, name, output / f"{name}.png")
        except KeyError:
            continue  # Some of its configurations are not trained.
        drawn.append(name)
    output.mkdir(parents=True, exist_ok=True)
    (output / "README.md").write_text(readme(results, drawn))
    return "\n\n".join(summary(each) for each in results) or UNRUN
