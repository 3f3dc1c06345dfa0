"""The claims of the papers."""

from benchmarks.papers.claims import dynamic
from benchmarks.papers.claims import four_things
from benchmarks.papers.claims import group_normalization
from benchmarks.papers.claims import unified

# By the title of their part of the report.
CLAIMS = {
    "Group normalization": group_normalization.CLAIMS,
    "Four things": four_things.CLAIMS,
    "Dynamic normalization": dynamic.CLAIMS,
    "Unified batch normalization": unified.CLAIMS,
}
