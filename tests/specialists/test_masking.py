"""Which texts of a secret are hidden, also in output that is not whole yet."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from orchestrator.specialists import masking

ONE, LINES = "s3cr3t-one", "first-line\nsecond-line"


@pytest.mark.parametrize(
    ("value", "texts"),
    [
        ("true", ()),
        ("  \n", ()),
        ("a\nb", ()),
        (f" {ONE}\n", (ONE,)),
        (f"{LINES}\n", (LINES, "second-line", "first-line")),
        ("first-line\r\nshort\r\n", ("first-line\r\nshort", "first-line\nshort", "first-line")),
    ],
)
def test_the_texts_of_a_secret_are_its_value_and_its_lines(value: str, texts: tuple[str, ...]) -> None:
    assert masking.secret_texts([SecretStr(value)]) == texts


@pytest.mark.parametrize(
    ("output", "length"),
    [
        ("", 0),
        ("nothing of it", 0),
        ("token: s3cr", 4),
        ("token: s3cr3t-on", 9),
        (f"token: {ONE}", 0),
        ("key: first-line\nsec", 14),
    ],
)
def test_the_beginning_of_a_secret_is_held_back(output: str, length: int) -> None:
    secrets = masking.secret_texts([SecretStr(ONE), SecretStr(LINES)])
    assert masking.unfinished(output.encode(), secrets) == length
