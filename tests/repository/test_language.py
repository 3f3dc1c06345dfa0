"""Names and prose use the terms of docs/glossary.md, and no retired words.

vocabulary.py lists the retired words, with replacements and reasons.
"""

import ast
import fnmatch
import functools
import io
import re
import tokenize

import pytest

from tests.repository import vocabulary
from tests.support.sources import ROOT
from tests.support.sources import source_files

# The files that contain the words in order to forbid them.
IGNORED = {"test_language.py", "vocabulary.py"}

CPP = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"', re.DOTALL)
# Between two words: the end of a comment line or of a string, and the start of
# the next one.
GAP = r"(?:[\s#/\"'*]|\bf(?=[\"']))+"
PROSE_TOKENS = {"COMMENT", "STRING", "FSTRING_MIDDLE"}


def sources(*endings):
    """The paths from the root, and the texts, of files with these endings."""
    for path in source_files(*endings):
        if path.name not in IGNORED:
            yield path.relative_to(ROOT).as_posix(), path.read_text()


def documents():
    for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")):
        yield path.relative_to(ROOT).as_posix(), path.read_text()
    yield from sources(".md")


def python_names(text):
    """(line, name) of everything that a module defines."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.lineno, node.name
            if isinstance(node, ast.FunctionDef):
                yield node.lineno, f"{node.name}()"
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id
        elif isinstance(node, ast.Attribute):
            if isinstance(node.ctx, ast.Store):
                yield node.lineno, node.attr
        elif isinstance(node, ast.alias) and node.asname:
            yield node.lineno, node.asname


def cpp_names(text):
    """(line, name) of every identifier outside comments and strings."""
    code = CPP.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)
    for number, line in enumerate(code.splitlines(), 1):
        for match in re.finditer(r"[A-Za-z_]\w*", line):
            yield number, match[0]


def python_prose(text):
    """The text with everything but comments and strings blanked out."""
    lines = [" " * len(line) for line in text.splitlines()]
    original = text.splitlines()
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    for token in tokens:
        if tokenize.tok_name[token.type] not in PROSE_TOKENS:
            continue
        (first, start), (last, end) = token.start, token.end
        for row in range(first, last + 1):
            left = start if row == first else 0
            right = end if row == last else len(original[row - 1])
            blank = lines[row - 1]
            part = original[row - 1][left:right]
            lines[row - 1] = blank[:left] + part + blank[right:]
    return "\n".join(lines)


def cpp_prose(text):
    """The text with everything but comments and strings blanked out."""
    end, result = 0, []
    for match in CPP.finditer(text):
        code = text[end : match.start()]
        result += [re.sub(r"[^\n]", " ", code), match[0]]
        end = match.end()
    return "".join(result)


def retired_names(path, names):
    """One message for each retired name among (line, name) pairs."""
    patterns = dict(vocabulary.NAMES)
    for folder, more in vocabulary.NAMES_IN.items():
        if path.startswith(f"{folder}/"):
            patterns |= more
    globs = {name: fix for name, fix in patterns.items() if "*" in name}
    for line, name in sorted(set(names)):
        fixes = [patterns[name]] if name in patterns else []
        if not name.endswith("()"):
            fixes += [
                fix
                for glob, fix in globs.items()
                if fnmatch.fnmatchcase(name, glob)
            ]
            if "_" in name and not fixes:
                # Pytest's prefix is not a word of the sentence.
                words = name.removeprefix("test_").replace("_", " ")
                yield from forbidden_prose(path, words, line - 1)
        for replacement, reason in fixes:
            found = f"{path}:{line}: the name `{name}`"
            yield f"{found} -> {replacement} ({reason})"


@functools.cache
def prose_patterns():
    return [
        (re.compile(rf"\b{pattern.replace(' ', GAP)}\b", re.IGNORECASE), fix)
        for pattern, fix in vocabulary.PROSE.items()
    ]


def forbidden_prose(path, text, line=0):
    """One message for each forbidden word in a text."""
    for pattern, (replacement, reason) in prose_patterns():
        for match in pattern.finditer(text):
            number = line + text.count("\n", 0, match.start()) + 1
            words = re.sub(GAP, " ", match[0])
            yield f"{path}:{number}: {words!r} -> {replacement} ({reason})"


def test_no_retired_names():
    found = []
    for path, text in sources(".py"):
        found += retired_names(path, python_names(text))
    for path, text in sources(".h", ".cc", ".cu", ".def"):
        found += retired_names(path, cpp_names(text))
    assert not found, "\n" + "\n".join(found)


def test_no_retired_file_names():
    paths = [path for path, _ in sources(".py", ".h", ".cc", ".cu", ".S")]
    found = [
        f"{path} -> {name}"
        for path in paths
        for pattern, name in vocabulary.FILES.items()
        if fnmatch.fnmatchcase(path, pattern)
    ]
    assert not found, "\n" + "\n".join(found)


def test_no_forbidden_words():
    found = []
    for path, text in sources(".py"):
        found += forbidden_prose(path, python_prose(text))
    for path, text in sources(".h", ".cc", ".cu", ".def"):
        found += forbidden_prose(path, cpp_prose(text))
    for path, text in documents():
        found += forbidden_prose(path, text)
    assert not found, "\n" + "\n".join(found)


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        ("def told(): pass", ["x.py:1: the name `told` -> "]),
        ("row_apart = 1", ["x.py:1: the name `row_apart` -> *_stride "]),
        ("def f(x, given): pass", ["x.py:1: the name `given` -> "]),
        ("import x as again", ["x.py:1: the name `again` -> "]),
        ("def moved(): moved = 1", ["x.py:1: the name `moved()` -> "]),
        ("def test_it_is_told_of(): pass", ["x.py:1: 'told' -> "]),
        ("def test_a_layer_is_built(): pass", []),
        ("given.x(asked=told)", []),
    ],
)
def test_names_are_found(text, messages):
    found = list(retired_names("x.py", python_names(text)))
    assert len(found) == len(messages)
    assert all(map(str.startswith, found, messages))


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        ('x = 1\n"""It is\ntold."""', ["x.py:3: 'told' -> "]),
        ("# There are so\n# many of them.", ["x.py:1: 'so many' -> "]),
        ('f(\n    "so "\n    f"many {x}"\n)', ["x.py:2: 'so many' -> "]),
        ("# One step a batch.", ["x.py:1: 'step a batch' -> per "]),
        ("told = 'apart from that, as given in a table such as this'", []),
    ],
)
def test_words_are_found(text, messages):
    found = list(forbidden_prose("x.py", python_prose(text)))
    assert len(found) == len(messages)
    assert all(map(str.startswith, found, messages))


def test_names_and_words_of_cpp_are_found():
    text = 'int Course; // told\n/* apart */ char* s = "Fold";\n'
    [name] = retired_names("tf_ops/x.h", cpp_names(text))
    assert name.startswith("tf_ops/x.h:1: the name `Course` -> ThreadMap ")
    told, apart = forbidden_prose("x.h", cpp_prose(text))
    assert told.startswith("x.h:1: 'told'")
    assert apart.startswith("x.h:2: 'apart'")
