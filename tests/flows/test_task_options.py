"""Options that a task brings: parameters and inputs by their names, in any spelling that a user may try."""

import json

import pytest

from flows.task_options import spelled_out

KNOWN = {"--model", "--column", "--id-column", "--parameter", "--limit"}


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ("--max-new-tokens 20", "--parameter max_new_tokens=20"),
        ("--max_new_tokens 20", "--parameter max_new_tokens=20"),
        ("--max-new-tokens=20", "--parameter max_new_tokens=20"),
        ("--temperature -1", "--parameter temperature=-1"),
        ("--aggregation-strategy simple", "--parameter aggregation_strategy=simple"),
        ("--multi-label", "--parameter multi_label=true"),
        ("--multi-label run", "run --parameter multi_label=true"),
        ("--multi-label false", "--parameter multi_label=false"),
        ("--do-sample --top-k 3", "--parameter do_sample=true --parameter top_k=3"),
        ("--question-column q --context-column passage", "--column question=q --column context=passage"),
        ("--prompt-column=p --model m", "--column prompt=p --model m"),
        ("--candidate-labels a,b", "--parameter candidate_labels=a,b"),
        ("--model m --id-column k --limit 3", "--model m --id-column k --limit 3"),
        ("--bach-size 3 --sentiment-column x", "--bach-size 3 --sentiment-column x"),
        ("-x top_k --parameter top_k=3", "-x top_k --parameter top_k=3"),
    ],
)
def test_options_of_tasks_become_parameters_and_columns_and_others_stay(words, meant):
    assert spelled_out(words.split(), KNOWN) == meant.split()


@pytest.mark.parametrize("option", ["--candidate-label", "--candidate-labels"])
def test_an_option_given_several_times_is_a_list_in_their_order(option):
    found = spelled_out([option, "a cat", "--limit", "3", option, 'a "dog"'], KNOWN)
    assert found[:3] == ["--limit", "3", "--parameter"]
    name, _, value = found[3].partition("=")
    assert (name, json.loads(value)) == ("candidate_labels", ["a cat", 'a "dog"'])


def test_the_singular_given_once_is_a_list_of_one():
    assert spelled_out(["--candidate-label", "3"], KNOWN) == ["--parameter", 'candidate_labels=["3"]']
