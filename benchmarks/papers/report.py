"""The figures, and README.md with its table of claims."""

import importlib.resources

from benchmarks.papers import claims
from benchmarks.papers import figures
from benchmarks.papers.results import Results

HEAD = ("claim", "the paper's number")
MARK = "<!-- results -->"


def table(results):
    """A Markdown table with a row per claim, and a verdict per data set."""
    head = list(HEAD)
    for each in results:
        head += [each.dataset, "verdict"]
    lines = [head, ["---"] * len(head)]
    for group in claims.CLAIMS.values():
        for claim in group:
            cells = [f"{claim.text} ({claim.source})", claim.paper]
            for each in results:
                try:
                    found, remark, verdict = claim.judge(each)
                except KeyError:
                    cells += ["not run", "-"]
                    continue
                cells += [f"{found} ({remark})", verdict]
            lines.append(cells)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def write(rows, output):
    """Draws the figures, writes README.md and returns the table."""
    datasets = list(dict.fromkeys(row["dataset"] for row in rows))
    results = [Results(rows, dataset) for dataset in datasets]
    text = importlib.resources.files(__package__).joinpath("template.md")
    text = text.read_text()
    for experiment in figures.FIGURES:
        try:
            figures.draw(results, experiment, output / f"{experiment}.png")
        except KeyError:
            continue  # Some of its results do not exist.
    claims_table = table(results)
    (output / "README.md").write_text(text.replace(MARK, claims_table))
    return claims_table
