"""Refuses, before lm-eval sees them, what lm-eval would find too late on a `dllm-eval run`.

Of a server's model: lm-eval prints a model's arguments before the model can refuse a key among
them, and it asks one type of request after the other, so that a server would be paid for texts
before likelihoods are refused. Of any: an output path that cannot be written costs the results of a
whole run, and a negative number of examples is taken for none.
Knows lm-eval's command line as far as these stand in it. `lm_eval_run.py` calls it.
"""

from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path

from dllm_eval.errors import UsageError
from dllm_eval.files import check_folder_can_be
from dllm_eval.registry import LM_EVAL_MODELS
from dllm_eval.sweep.models import model_class
from dllm_eval.sweep.workload import UnknownDocuments, documents


def check_run(arguments: Sequence[str]) -> None:
    """Looks at shots and output path; of a model that asks a server, at arguments and tasks too.

    Tasks that a configuration file names, or whose documents are not here, are passed over: the
    model refuses what it cannot answer when it is asked.

    Args:
        arguments: What stands behind `dllm-eval run`.

    Raises:
        UsageError: An argument is wrong, or a task asks for what the model's class does not answer.
    """
    _check_shots(arguments)
    for output in _values(arguments, "--output_path", "-o"):
        # lm-eval only logs that it could not write, when all is run.
        path = Path(output)
        check_folder_can_be(path.parent if path.suffix == ".json" else path)
    model = next(_values(arguments, "--model", "-M"), "")
    answered = model in LM_EVAL_MODELS and getattr(model_class(model), "request_types", None)
    if not answered:
        return
    parse = import_module("lm_eval.utils").simple_parse_args_string
    given = parse(",".join(_values(arguments, "--model_args", "-a")))
    model_class(model).check_arguments(given)
    chat = _applies_template(arguments)
    if chat is not None:
        model_class(model).check_protocol(given, chat=chat)
    include = tuple(_values(arguments, "--include_path"))
    for task in _values(arguments, "--tasks", "-t"):
        try:
            asked = {r.request_type for d in documents(task, None, 1, include) for r in d}
        except (UnknownDocuments, UsageError):  # lm-eval says what is wrong with it
            continue
        if not asked <= answered:
            raise UsageError(
                f"task {task!r} asks for {', '.join(sorted(asked - answered))}, and {model} "
                f"answers {', '.join(sorted(answered))} alone; nothing was sent; accepted: tasks "
                "answered by text, or weights of your own in process (dllm, dllm-ar)"
            )


def _check_shots(arguments: Sequence[str]) -> None:
    """lm-eval takes a negative number of examples for none."""
    pairs = [argument.partition("=")[::2] for argument in arguments]
    followed = zip(pairs, [*pairs, ("", "")][1:], strict=True)
    for (name, value), (after, _) in followed:
        shots = value or after
        if name in ("--num_fewshot", "-f") and shots[:1] == "-" and shots[1:].isdecimal():
            raise UsageError(f"--num_fewshot is {shots}; accepted: a whole number of at least 0")


def _applies_template(arguments: Sequence[str]) -> bool | None:
    """Whether a chat template is asked for; None where a configuration file may do so."""
    names = [argument.partition("=")[0] for argument in arguments]
    # lm-eval's parser takes an option's beginning for the option.
    if any(n.startswith("--a") and "--apply_chat_template".startswith(n) for n in names):
        return True
    configured = (n == "-C" or (n.startswith("--conf") and "--config".startswith(n)) for n in names)
    return None if any(configured) else False


def _values(arguments: Sequence[str], *names: str) -> Iterator[str]:
    """The values of an option in any of the ways that lm-eval's parser takes, commas split."""
    reading = False
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if argument.startswith("-"):
            reading = name in names
            value = value if equals and reading else ""
        else:
            value = argument if reading else ""
        yield from (part for part in value.split(",") if part)
