"""Retired names and forbidden words, for test_language.py.

docs/glossary.md defines the terms that replace them.
"""

# Patterns of whole names: the replacement, and the reason. A name with () is
# that of a function.
NAMES = {
    "*_apart": ("*_stride", "a stride has one name"),
    "apart": ("centered", "it is x - center"),
    "kept": ("mask, cached or saved", "it had three meanings"),
    "keep": ("mask", "a mask says which positions are used"),
    "places": ("vectors", "it had three meanings"),
    "way": ("backend", "the classes are called Backend"),
    "again": ("second_order, reloaded or copy", "an adverb names nothing"),
    "aside": ("scratch", "an adverb names nothing"),
    "made": ("what the thing is", "a participle names nothing"),
    "told": ("warnings or message", "it stood for five verbs"),
    "tried": ("cases or candidates", "a participle names nothing"),
    "such": ("what the thing is", "a pronoun names nothing"),
    "whole": ("complete or batch", "an adjective names nothing"),
    "asked": ("requested", "a participle names nothing"),
    "given": ("arguments or inputs", "a participle names nothing"),
    "inverse": ("rstd", "it is 1 / sqrt(variance + epsilon)"),
    "Passes": ("NormSpec", "it is data, and `passes.passes` was read twice"),
    "Course": ("ThreadMap", "it maps threads to elements"),
    "Walk": ("Traversal", "it traverses memory"),
    "Fold": ("BlockReduce", "it reduces over a block"),
    "Truth": ("MaskByte", "it is one byte of a mask"),
    "pinned": ("materialized", "pinned memory is another thing"),
    "trained()": ("training_coefficients", "a hook is named by its result"),
    "followed()": ("running_target", "a hook is named by its result"),
    "moved()": ("updated_state", "a hook is named by its result"),
    "weighed()": ("example_statistics", "a hook is named by its result"),
    "observed()": ("extra_inputs", "a hook is named by its result"),
    "own()": ("instance", "a hook is named by its result"),
    "test_[a-h][0-9]_*": ("the fault's name", "the legend is not here"),
}

# The same for names that are retired in one folder only.
NAMES_IN = {
    "keras_norms": {
        "parts": ("unpacked", "it had three meanings"),
        "table": ("statistics or coefficients", "only text has tables"),
        "tables": ("statistics or coefficients", "only text has tables"),
        "images": ("cubins", "images are what users feed the model"),
        "Blocks": ("PoolingBlocks", "thread blocks are other blocks"),
        "combine": ("merge_moments", "Chan's formula is a merge"),
        "weigh": ("pooling_weights", "it returns weights"),
    },
    "tf_ops": {
        "parts": ("partials", "it had three meanings"),
        "Line": ("AffineParams", "a line is also a cache line"),
        "Tables": ("AffineParams", "only text has tables"),
        "images": ("cubins", "images are what users feed the model"),
        "one": ("the output's name", "numbers name nothing"),
        "two": ("the output's name", "numbers name nothing"),
    },
    "tf_ops/cuda": {
        "lane": ("thread_in_column", "a lane belongs to a warp"),
    },
}

# Patterns of files, from the root: the new name.
FILES = {
    "keras_norms/native/images.py": "cubins.py",
    "tf_ops/*/plain.*": "c_api.*",
    "tf_ops/cuda/images.*": "cubins.*",
    "tf_ops/cuda/course.h": "thread_map.h",
    "tf_ops/cuda/line.h": "affine.h",
    "tf_ops/cuda/parts.h": "partials.h",
    "tf_ops/cuda/pools.h": "combine_partials.h",
    "tf_ops/cuda/numbers.h": "vector_types.h",
    "tf_ops/cpu/numbers.h": "simd_types.h",
    "tf_ops/cpu/pool.h": "thread_pool.h",
    "tf_ops/cpu/walk.h": "traversal.h",
    "tf_ops/cpu/cache.cc": "cache_size.cc",
    "tf_ops/tensorflow/places.h": "device_traits.h",
    "tf_ops/test/given.h": "case.h",
    "tf_ops/test/tried.h": "check_kernels.h",
    "tf_ops/test/pieces.h": "unit_tests.h",
    "tf_ops/test/check.h": "expect.h",
    "benchmarks/gpu/twice.py": "determinism.py",
    "benchmarks/gpu/work.py": "workloads.py",
    "benchmarks/gpu/timed.py": "suite.py",
    "benchmarks/gpu/memory.py": "arrays.py",
}

_PER = "channel|row|batch|replica|position|example|layer|call|file|block"
_COUNTED = "value|step|group|number|test|thread|images?|method|kernel|one"

# Patterns in docstrings, comments, strings, Markdown and the words of names:
# the replacement, and the reason. A space matches any gap, such as a line
# break in a comment.
PROSE = {
    "told": ("reported, passed or distinguished", "it stood for five verbs"),
    "apart(?! from)": ("separately, or stride", "it had two meanings"),
    "tried": ("tested or measured", "it had two meanings"),
    "so many": ("the number of", "the number is not named"),
    "of (its|their) own": ("separate, or the noun", "the noun is far away"),
    "(is|are|be) asked for": ("is requested", "it is not English"),
    "end(s|ed)? in words": ("end with a message", "all text has words"),
    "without a word": ("without a warning", "all text has words"),
    "gone through": ("read or traversed", "the term is traversal"),
    "wholly": ("fully", "one word for one meaning"),
    "anew": ("again", "it is archaic"),
    "beside": ("next to, or compared with", "it had two meanings"),
    "(has|have) (its|their) say": ("takes part", "it is a metaphor"),
    "on (its|their) way": ("being processed", "it is a metaphor"),
    rf"({_COUNTED})s? an? ({_PER})": ("per", "a rate is written with per"),
}
