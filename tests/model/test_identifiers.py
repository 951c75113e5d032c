"""An id may have letters of any script and the signs of other tools' names; what it becomes elsewhere is plain."""

from __future__ import annotations

import re
import unicodedata
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as some

from orchestrator.engine import canvas, message_validation
from orchestrator.model import identifiers
from orchestrator.model.commands import Launch
from orchestrator.model.feature import Feature
from orchestrator.model.task import Task

SIGNS = "_.-+@/:~"
LETTERS = some.characters(categories=("L", "M", "N"))
IDS = (
    some.text(alphabet=some.one_of(LETTERS, some.sampled_from(SIGNS + "aZ0")), min_size=1, max_size=200)
    .map(identifiers.normal)
    .filter(identifiers.is_id)
)
FEATURE_IDS = IDS.filter(identifiers.is_feature_id)

GOOD = [
    "T1", "libstdc++6", "//app:lib", "@babel/core", "@testing-library/react", "größe", "日本語", "हिन्दी", "a~b",
    "_private", "/srv/x.csv", ":target", "+x", "x" * 200, "é" * 200, "mProject_ID0000001",
]  # fmt: skip
BAD = {
    "": "is empty",
    "a b": "has a space",
    "a\tb": "has a tab",
    "a\n": "has a line break",
    "-x": 'starts with "-"',
    ".": 'starts with "."',
    "..": 'starts with "."',
    "~/x": 'starts with "~"',
    "\u0301a": "starts with the character U+0301",
    "a{b}": 'has "{"',
    "a,b": 'has ","',
    "a'b": 'has "\'"',
    "a\u3164b": "has the character U+3164",
    "a\u202eb": "has the character U+202E",
    "a\ud800": "has the character U+D800",
    "x" * 201: "has 201 characters",
    "@testing": "is the name of a feature's own gates",
}


@pytest.mark.parametrize("text", GOOD)
def test_names_of_other_tools_are_ids(text: str) -> None:
    feature = Feature(title="x", tasks=(Task(id=text), Task(id="last", depends_on=(text,))))
    assert feature.tasks[1].depends_on == (identifiers.normal(text),)


@pytest.mark.parametrize("text", BAD)
def test_what_is_no_id_is_told_what_is_wrong_with_it_in_words(text: str) -> None:
    said = identifiers.trouble(text)
    assert said is not None
    assert said.startswith(BAD[text])
    assert "[A-Z" not in said
    assert not identifiers.is_id(text)


def test_an_id_is_the_same_however_its_accents_are_typed() -> None:
    feature = Feature.model_validate(
        {"title": "x", "tasks": [{"id": "e\u0301"}, {"id": "b", "depends_on": ["\u00e9"]}]}
    )
    assert feature.tasks[0].id == feature.tasks[1].depends_on[0] == "é"
    with pytest.raises(ValueError, match="has this id already"):
        Feature.model_validate({"title": "x", "tasks": [{"id": "e\u0301"}, {"id": "\u00e9"}]})


@given(IDS)
def test_an_encoded_id_is_plain_and_comes_back(text: str) -> None:
    encoded = identifiers.encode(text)
    assert re.fullmatch(r"[A-Za-z0-9_.~\-]+", encoded)
    assert identifiers.decode(encoded) == text
    if identifiers.is_of_old(text):
        assert encoded == text


@given(some.text(max_size=30))
def test_what_nothing_encodes_to_is_not_decoded(text: str) -> None:
    try:
        decoded = identifiers.decode(text)
    except ValueError:
        return
    assert identifiers.encode(decoded) == text


@given(IDS, IDS)
def test_a_file_name_is_short_and_stays_in_its_folder_and_belongs_to_one_id(one: str, other: str) -> None:
    name = identifiers.file_name(one)
    assert len(f"{name}.1000000000.gate-{'g' * 64}.log".encode()) <= 255
    assert PurePosixPath(name).name == name
    assert not name.startswith(".")
    assert (name == identifiers.file_name(other)) == (one == other)


@given(FEATURE_IDS, IDS, some.integers(1, 10**9))
def test_the_id_of_a_message_names_its_attempt_and_passes_admission(
    feature: str, task: str, attempt: int
) -> None:
    message = canvas.message_id(feature, Launch(task, attempt, "senior-engineer"))
    assert identifiers.attempt_named(message) == identifiers.attempt_named(message.rpartition(":")[0])
    assert identifiers.attempt_named(message) == (feature, task, attempt)
    headers = {"id": message, "retries": 0, "timelimit": [None, None]}
    assert message_validation.check_headers(headers) is None
    assert message_validation.check_attempt(headers, [[feature, task, attempt], {}, {}]) is None


@given(FEATURE_IDS, IDS, FEATURE_IDS, IDS)
def test_no_two_attempts_share_the_id_of_a_message(feature: str, task: str, other: str, second: str) -> None:
    same = identifiers.of_attempt(feature, task, 1) == identifiers.of_attempt(other, second, 1)
    assert same == ((feature, task) == (other, second))


@given(some.text(max_size=20))
def test_what_passes_for_an_id_has_nothing_that_a_terminal_or_a_key_takes_for_more(text: str) -> None:
    if identifiers.trouble(text) is None:
        assert text.isprintable()
        assert not set(text) & set(" {}[]()<>*?\"'`\\|&;$#!%,=\n\t")
        assert not any(unicodedata.category(sign) in ("Cf", "Cc", "Cs") for sign in text)
