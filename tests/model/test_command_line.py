"""A command as one text: it is split where a shell would read the same, and refused where it would not."""

from __future__ import annotations

import re
import shlex
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.model import command_line

PLAIN = {
    "echo 3 tables": ["echo", "3", "tables"],
    'pytest -q "tests/a b"': ["pytest", "-q", "tests/a b"],
    "echo 'a && b > $HOME *'": ["echo", "a && b > $HOME *"],
    r"echo \$HOME a\;b \*": ["echo", "$HOME", "a;b", "*"],
    'echo "5 $" a$': ["echo", "5 $", "a$"],
    "make -C build~ a=b all": ["make", "-C", "build~", "a=b", "all"],
    "echo a#b {} {x}": ["echo", "a#b", "{}", "{x}"],
    "git diff HEAD^ --stat\n": ["git", "diff", "HEAD^", "--stat"],
    "env A=1 cmd": ["env", "A=1", "cmd"],
}
SHELLS = (
    "echo a && false", "echo hi > out.txt", "echo $HOME", "echo ~", "ls *.yaml", "cd /tmp", "FOO=1 env",
    "echo one\nfalse", "echo a | cat", "true; false", "sleep 5 &", "cat <in", "echo `id`", 'echo "$HOME"',
    'echo "`id`"', "echo $(id)", "ls a?", "ls [ab]", "(echo a)", "echo a # b", "mv a.{x,y}", "echo {1..3}",
    r'echo "\$x"', "pytest \\\n -q", "export A=1", ". ./env", "exit 3", "if true", "! true", "ls ~/x",
)  # fmt: skip


@pytest.mark.parametrize("text", PLAIN)
def test_a_text_that_means_the_same_to_a_shell_is_split(text: str) -> None:
    assert command_line.split(text) == PLAIN[text]


@pytest.mark.parametrize("text", SHELLS)
def test_shell_syntax_is_refused_with_the_two_ways_to_write_it(text: str) -> None:
    with pytest.raises(ValueError, match="write a list") as caught:
        command_line.split(text)
    assert "[sh, -c, " in str(caught.value)


def test_both_ways_are_shown_as_they_are_to_be_written() -> None:
    with pytest.raises(ValueError, match="has >") as caught:
        command_line.split("echo on > out.txt")
    assert '[echo, "on", ">", out.txt]' in str(caught.value)
    assert '[sh, -c, "echo on > out.txt"]' in str(caught.value)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("echo a && false", "&&"),
        ("a 2>&1", ">&"),
        ("echo $HOME/x", "$HOME"),
        ("echo $(id)", "$("),
        ("echo {a,b}", "{a,b}"),
    ],
)
def test_what_a_shell_would_read_is_shown_whole(text: str, shown: str) -> None:
    with pytest.raises(ValueError, match=f"^has {re.escape(shown)}, which means something to a shell"):
        command_line.split(text)


ALPHABET = st.text(alphabet="ab \t\n'\"\\$`*?[]{},.~#=;|&<>()!-/1@%^:+", max_size=12)


@given(ALPHABET)
@settings(max_examples=60, deadline=None)
def test_each_text_that_is_taken_is_read_the_same_by_a_shell(tail: str) -> None:
    # Given a text that is taken
    try:
        words = command_line.split(f"printf %s\\\\n {tail}")
    except ValueError:
        return
    # When a shell splits it
    text = f"printf %s\\\\n {tail}".strip()
    said = subprocess.run(
        ["bash", "-c", f"set -- {text}\nprintf '%s\\0' \"$@\""], capture_output=True, check=True
    )
    # Then it comes to the same words
    assert said.stdout.decode().split("\0")[:-1] == words
    assert shlex.split(shlex.join(words)) == words
