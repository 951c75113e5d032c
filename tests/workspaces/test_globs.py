"""Which files a glob matches, and which globs may match the same file."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.workspaces.globs import matching, overlap


@pytest.mark.parametrize(
    ("glob", "file"),
    [
        (".github/**", ".github/workflows/ci.yml"),
        (".github/**", ".github"),
        (".github/**", ".GitHub/x"),
        (".github/", ".github/a/b"),
        ("tests/*/test_*.py", "tests/api/test_x.py"),
        ("*.lock", "deep/down/yarn.lock"),
        ("/Makefile", "Makefile"),
        ("./Makefile", "Makefile"),
        ("**/conf.py", "conf.py"),
        ("**/conf.py", "docs/a/conf.py"),
        ("src/**/x.py", "src/x.py"),
        ("src/**/x.py", "src/a/b/x.py"),
        ("a[0-9].txt", "a7.txt"),
        ("a[!0-9].txt", "ab.txt"),
        ("a?c", "abc"),
        ("**", "a\nb/c"),
        ("gr\u00f6\u00dfe/**", "gro\u0308sse/x"),
    ],
)
def test_a_glob_matches(glob: str, file: str) -> None:
    assert matching([file], [glob]) == (file,)


@pytest.mark.parametrize(
    ("glob", "file"),
    [
        ("/Makefile", "src/Makefile"),
        ("tests/*", "tests/a/b"),
        (".github/**", ".github2/x"),
        (".github/**", "x/.github/y"),
        ("a?c", "a/c"),
        ("a[0-9]", "ab"),
        ("a.c", "abc"),
        ("src/**/x.py", "src/ax.py"),
    ],
)
def test_a_glob_does_not_match(glob: str, file: str) -> None:
    assert matching([file], [glob]) == ()


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (["src/a.py"], ["src/a.py"], True),
        (["src/a.py"], ["src/b.py"], False),
        (["src/**"], ["src/a/b.py"], True),
        (["src/**"], ["src"], True),
        (["src/*"], ["src/a/b.py"], False),
        (["*.py"], ["*.md"], False),
        (["a*"], ["*b"], True),
        (["src/[ab].py"], ["src/c.py"], True),
        (["src/{a,b}.py"], ["src/a.py"], True),
        (["../x"], ["y/z"], True),
        (["SRC/x.py"], ["src/X.py"], True),
        ([], ["**"], False),
        (["docs/x", "src/x"], ["lib/**", "src/**"], True),
    ],
)
def test_overlap(first: list[str], second: list[str], expected: bool) -> None:
    assert overlap(first, second) is expected
    assert overlap(second, first) is expected


PART = st.text("ab*?", min_size=1, max_size=3)
GLOB = st.lists(st.one_of(PART, st.just("**")), min_size=1, max_size=4).map("/".join)
FILE = st.lists(st.text("ab", min_size=1, max_size=3), min_size=1, max_size=4).map("/".join)


@given(GLOB, GLOB, FILE)
def test_globs_that_match_one_file_overlap(first: str, second: str, file: str) -> None:
    if matching([file], [first]) and matching([file], [second]):
        assert overlap([first], [second])
