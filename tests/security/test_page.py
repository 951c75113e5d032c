"""The page on security promises what tests show: each sentence that is marked (test) has one.

A test says which sentence it shows in its docstring; those that show one beside much else are named below.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
PAGE = TESTS.parent / "docs" / "explanation" / "security.md"
MARK = re.compile(r"\(test\b[^)]*\)")

ENOUGH = 0.7
"""So many of the words of a sentence, or of what a docstring says, are those of the other."""

SHORTEST = 4
"""Words of a docstring. Fewer would be found anywhere."""

ELSEWHERE = {
    "bring a command, unless `trust.inline_commands` allows it": (
        "test_a_message_with_a_command_in_it_obeys_the_operator"
    ),
    "let a file call a task of the project's own Celery app, unless `trust.calls` or that allows it": (
        "test_what_a_file_may_call"
    ),
    "make a worker run a command that is not configured": "test_a_message_with_a_command_in_it_obeys_the_operator",
    "leave the log and work folders": "test_an_id_from_redis_leads_nowhere_else",
    "or end it by a message": "test_hostile_messages_are_refused_and_counted_and_the_worker_goes_on",
    "the same; with `broker.signing` not even that": "test_a_signed_message_runs_and_others_are_refused",
    "see the worker's passwords are not passed on": "test_a_command_does_not_get_what_the_worker_keeps_secret",
    "see a password, a title, a parameter, what a task returned, printed or raised": (
        "test_monitors_show_what_became_of_each_attempt_and_nothing_else"
    ),
    "see an id, a title, a parameter, a result": "test_nothing_that_a_feature_says_is_shown",
    "see the arguments of processes: none holds a secret": "test_no_secret_is_seen_anywhere",
    "see features in [Flower](../how-to/flower.md): what people wrote, what tasks returned and put out; decide, and "
    "enqueue as above, unless `web.read_only` is set": (
        "test_where_it_only_shows_nothing_is_offered_and_nothing_done"
    ),
    "see a secret that logs hide; decide what the engine refuses": "test_what_the_engine_refuses_is_told",
    "see anything, or decide anything, by their browser": "test_a_decision_needs_the_token_of_a_page",
    "The pages of [features in Flower](../how-to/flower.md) show these texts, to who has Flower's password, or came "
    "by the address with the secret": "test_without_the_secret_nobody_sees_anything",
    "A policy lets browsers run no script but ours and Flower's: what somebody wrote is text": (
        "test_pages_show_what_anybody_wrote_as_text"
    ),
    "read the folder `.taskorchestrator`, its logs or its Redis: all are for their owner alone": (
        "test_it_is_open_to_its_user_alone"
    ),
    "All of a project is under its prefix": "test_two_projects_on_one_database_keep_apart",
    "Each `redis.prefix` has a line of its own in the file, and its user reaches that prefix alone": (
        "test_the_user_of_one_project_reaches_nothing_of_another"
    ),
    "Commands that only look start nothing that it names": (
        "test_a_command_that_only_looks_starts_no_program_of_the_folder"
    ),
    "For each there is one line in the log, in words of ours, and a count": (
        "test_a_forged_message_is_refused_for_its_reason"
    ),
    "Junk on the channels of events and of remote control is dropped with a line in the log too": (
        "test_noise_on_the_channels_of_events_and_of_control_is_dropped_in_a_line_each"
    ),
    "So who can write to the broker can send a signed message again, or on to another specialist, which is refused": (
        "test_a_signed_message_that_is_sent_on_to_another_specialist_is_refused"
    ),
    "They are `**` in `orchestrator config`, the doctor, errors and logs, and in no message, no event and no report": (
        "test_no_secret_is_seen_anywhere"
    ),
    "A command that prints a value of its own `env` finds it masked, in its outcome and in its log": (
        "test_what_a_command_shows_of_its_secrets_is_masked"
    ),
    "what goes to Redis meanwhile, for `orchestrator logs` on other machines, is masked before": (
        "test_no_part_of_a_secret_is_kept"
    ),
    "Feature files are bounded, and fuzzed: an error of ours, in bounded memory": (
        "test_what_is_large_is_refused_within_bounds"
    ),
    "whatever a command prints is stripped of them before a terminal sees it": (
        "test_a_text_is_left_without_what_moves_a_cursor"
    ),
    "Passwords are in the environment and in files, and no argument": (
        "test_no_password_is_an_argument_and_the_users_file_has_them"
    ),
    "The image holds the wheel that CI built and tested, and no other": (
        "test_installs_the_wheel_that_was_built_and_tested_and_no_other"
    ),
    "The password is in no message of ours, nor in Celery's, or Flower, in any form of URL": (
        "test_a_url_works_everywhere"
    ),
    "start a task of a canvas, unless `trust.canvas` allows it": "test_canvases_are_off",
    "with `broker.signing` do anything with messages, but lose or delay them": (
        "test_a_recorded_message_of_a_canvas_runs_nothing"
    ),
    "One that comes to another queue, with another header, or by a key that is not accepted, is refused": (
        "test_a_recorded_message_of_a_canvas_runs_nothing"
    ),
    "A message of a canvas begins once, and within a day; the Redis of the state remembers its nonce": (
        "test_a_recorded_message_of_a_canvas_runs_nothing"
    ),
    "Of a canvas it holds what tasks returned or raised, for its caller, for a day": (
        "test_the_result_backend_holds_the_outcomes_of_canvases_alone"
    ),
    "A task whose message is revoked is cancelled, and says so": (
        "test_what_is_revoked_before_it_starts_is_cancelled"
    ),
    "The id of a message is `FEATURE:TASK:ATTEMPT:RANDOM`, with another random text for each batch that is launched": (
        "test_each_message_of_an_attempt_has_an_id_of_its_own"
    ),
    "find the worker's variables in its own environment": "test_a_command_gets_an_allow_list_of_variables",
    "with a `user` of its own, reach the worker at all": (
        "test_a_command_of_another_user_has_its_files_and_nothing_of_the_workers"
    ),
    "`specialists.NAME.user`: the commands of the specialist, its gates and inline commands run as that user": (
        "test_a_command_of_another_user_has_its_files_and_nothing_of_the_workers"
    ),
    "Its outcome must be a file of its own: the worker follows no link to it": (
        "test_the_outcome_of_another_user_is_a_file_of_its_own"
    ),
    "Titles, tags and descriptions that hold one are refused": "test_a_text_is_refused_that_is_not_plain",
    "The joiners that emoji and scripts such as Persian need stay": "test_a_text_that_is_plain_stays_as_it_is",
    "one that belongs to another user, or lies behind a link of another user, is passed over": (
        "test_the_folder_of_another_user_is_not_ours_behind_a_link_either"
    ),
}
"""Sentence → the test that shows it, where it is older than its sentence or shows several."""


def words(text: str) -> list[str]:
    """The words alone, without marks of Markdown and of speech."""
    return re.findall(r"[\w.*/:=-]*\w", text.lower())


def claims(page: str) -> Iterator[str]:
    """What the page claims: each marked sentence, or its part from the mark before to its own."""
    for block in re.split(r"\n\s*\n|\n(?=[|#-])|\|", page[page.index("\n## ") :]):
        *marked, _ = MARK.split(" ".join(block.split()))
        for part in marked:
            yield re.split(r"(?<=[.!?]) (?=[A-Z`])|^\W+(?=\w)", part.strip())[-1].strip()


def is_about(said: str, claim: str) -> bool:
    """Whether most words of the shorter one are in the other, too."""
    one, other = set(words(said)), set(words(claim))
    return len(one & other) >= ENOUGH * min(len(one), len(other))


@cache
def quoted() -> dict[str, list[str]]:
    """The name of each test → the sentences of its docstring."""
    found = {}
    for file in TESTS.rglob("test_*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                said = re.split(r"\n\s*\n|(?<=[.!?]\") ", ast.get_docstring(node) or "")
                found[node.name] = [one for one in said if len(words(one)) >= SHORTEST]
    return found


def shown_by(claim: str) -> list[str]:
    """The tests that show a sentence."""
    quoting = [name for name, sentences in quoted().items() if any(is_about(one, claim) for one in sentences)]
    return quoting + [name for said, name in ELSEWHERE.items() if is_about(said, claim) and name in quoted()]


@pytest.mark.parametrize(
    "claim", list(claims(PAGE.read_text("utf-8"))), ids=lambda claim: "-".join(words(claim))[:60]
)
def test_a_sentence_that_is_marked_has_a_test(claim: str) -> None:
    assert shown_by(claim), f'no docstring of a test quotes: "{claim}"'


def test_a_sentence_without_a_test_is_found() -> None:
    page = "# P\n\nIt is so (test).\n\n## One\n\nFirst. Nobody can read your thoughts (test: tried), and fly (test)."
    first, second = claims(page)
    assert (first, second) == ("Nobody can read your thoughts", "and fly")
    assert shown_by(first) == []


def test_a_test_that_is_named_is_there() -> None:
    page = list(claims(PAGE.read_text("utf-8")))
    meant = {name for said, name in ELSEWHERE.items() if any(is_about(said, claim) for claim in page)}
    assert len(meant) > 10
    assert meant - quoted().keys() == set()
