"""Reads a sweep's YAML, and what it extends, into one tree of YAML nodes that know their lines.

Knows YAML and how one file's keys override another's; knows no key's meaning apart from the lists
that are merged by name. `spec_file.py` calls it.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import yaml

from dllm_eval.errors import UsageError

SHIPPED = {path.stem: path for path in sorted(Path(__file__).parent.glob("*.yaml"))}
"""Sweeps that come with the package, by name."""

EXTENDS = "extends"
_ENTRIES = {"models": ("name",), "suites": ("title", "task")}
"""Lists whose entries are merged, and the keys that name an entry, the first that it has."""
_MERGED = frozenset({"quality", "latency", "load", "args", "settings"})
"""Mappings of which single keys are overridden; any other value is replaced as a whole."""
_MOST_VALUES = 100_000
"""Of a file with its aliases written out: a few lines of nested ones are billions."""


def read_nodes(path: Path, before: Sequence[Path] = ()) -> yaml.MappingNode:
    """The tree of a sweep file, or of the shipped sweep of that name, with all that it extends.

    Args:
        path: What the user named.
        before: The files that led here by `extends`.

    Raises:
        UsageError: One line that names the file, the line and the fault.
    """
    path = path if path.is_file() else SHIPPED.get(str(path), path)
    root = _compose(path)
    pairs = [(key, value) for key, value in root.value if key.value != EXTENDS]
    named = [value for key, value in root.value if key.value == EXTENDS]
    own = yaml.MappingNode(root.tag, pairs, root.start_mark, root.end_mark)
    if not named:
        return own
    other, place = _extended(named[0], path), _place(named[0])
    chain = [*before, path]
    if any(other.resolve() == file.resolve() for file in chain):
        raise UsageError(f"{place}: {EXTENDS!r} leads back to {str(other)!r}; remove it")
    try:
        base = read_nodes(other, chain)
    except UsageError as error:
        if str(error).startswith("cannot read"):
            raise UsageError(f"{place}: {EXTENDS!r}: {error}") from error
        raise
    return _merged(base, own)


def _compose(path: Path) -> yaml.MappingNode:
    text = _text(path)
    try:
        # The loader reads what cannot stand in YAML at all when it is made.
        loader = yaml.SafeLoader(text)
        loader.name = str(path)
        root = loader.get_single_node()
        _values(root, {})
        _check(root, loader)
    except yaml.YAMLError as error:
        raise UsageError(
            f"{path}:{_line_of(error, text)}: not valid YAML: {_problem(error)}"
        ) from error
    except RecursionError as error:
        raise UsageError(f"{path}:1: not a sweep: it is nested too deeply") from error
    if not isinstance(root, yaml.MappingNode):
        line = 1 if root is None else root.start_mark.line + 1
        raise UsageError(f"{path}:{line}: a sweep is a mapping with the keys name, models, suites")
    return root


def _text(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(
            f"cannot read the sweep file {str(path)!r}: {error.strerror} "
            f"(shipped, by name: {', '.join(SHIPPED)})"
        ) from error
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UsageError(f"{path}:{line}: not a sweep: it is not UTF-8 text") from error


def _values(node: yaml.Node | None, known: dict[int, int]) -> int:
    """How many values a node is with its aliases written out; each node is looked at once.

    Raises:
        UsageError: They are too many, or a value contains itself.
    """
    if node is None or isinstance(node, yaml.ScalarNode):
        return 1
    if id(node) in known:
        if not known[id(node)]:
            raise UsageError(f"{_place(node)}: a value contains itself; write it out")
        return known[id(node)]
    known[id(node)] = 0
    parts = node.value
    if isinstance(node, yaml.MappingNode):
        parts = [part for pair in node.value for part in pair]
    count = 1 + sum(_values(part, known) for part in parts)
    if count > _MOST_VALUES:
        raise UsageError(
            f"{_place(node)}: with its aliases written out it holds {count} values; accepted: up "
            f"to {_MOST_VALUES}"
        )
    known[id(node)] = count
    return count


def _check(node: yaml.Node | None, loader: yaml.SafeLoader) -> None:
    """Refuses a key that stands twice and a scalar of no value."""
    if isinstance(node, yaml.MappingNode):
        _check_keys(node)
        loader.flatten_mapping(node)
        for key, value in node.value:
            _check(key, loader)
            _check(value, loader)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            _check(value, loader)
    elif isinstance(node, yaml.ScalarNode):
        try:
            loader.construct_object(node)
        except ValueError as error:
            shown = node.value if len(node.value) <= 40 else f"{node.value[:37]}..."
            raise UsageError(f"{_place(node)}: {shown!r} is no value: {error}") from error


def _check_keys(node: yaml.MappingNode) -> None:
    seen: dict[str, int] = {}
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise UsageError(f"{_place(key)}: a key is a name, not a list or a mapping")
        if key.value in seen:
            raise UsageError(
                f"{_place(key)}: the key {key.value!r} stands twice, first in line "
                f"{seen[key.value]}; keep one of them"
            )
        seen[key.value] = key.start_mark.line + 1


def _extended(node: yaml.Node, path: Path) -> Path:
    """The file that `extends` names: beside the file that says so, or a shipped sweep."""
    if not isinstance(node, yaml.ScalarNode) or not node.value:
        raise UsageError(
            f"{_place(node)}: {EXTENDS!r} must name one sweep file, or a shipped sweep: "
            f"{', '.join(SHIPPED)}"
        )
    try:
        beside = path.parent / Path(node.value).expanduser()
        return beside if beside.is_file() else SHIPPED.get(node.value, beside)
    except (OSError, RuntimeError, ValueError) as error:
        shown = repr(node.value[:60])
        raise UsageError(f"{_place(node)}: {EXTENDS!r} names no file: {shown}") from error


def _merged(base: yaml.MappingNode, own: yaml.MappingNode) -> yaml.MappingNode:
    """The base's keys, overridden by the own ones; keys that the base lacks come last."""
    values = {key.value: (key, value) for key, value in base.value}
    for key, value in own.value:
        name, before = key.value, values.get(key.value, (None, None))[1]
        values[name] = (key, value if before is None else _override(name, before, value))
    return yaml.MappingNode(own.tag, list(values.values()), own.start_mark, own.end_mark)


def _override(name: str, base: yaml.Node, own: yaml.Node) -> yaml.Node:
    if isinstance(base, yaml.MappingNode) and isinstance(own, yaml.MappingNode):
        return _merged(base, own) if name in _MERGED else own
    if isinstance(base, yaml.SequenceNode) and isinstance(own, yaml.SequenceNode):
        return _merged_entries(base, own, _ENTRIES[name]) if name in _ENTRIES else own
    return own


def _merged_entries(
    base: yaml.SequenceNode, own: yaml.SequenceNode, naming: tuple[str, ...]
) -> yaml.SequenceNode:
    entries = list(base.value)
    for entry in own.value:
        place = _same_entry(entries, entry, naming)
        if place is None:
            entries.append(entry)
        else:
            entries[place] = _merged(entries[place], entry)
    return yaml.SequenceNode(own.tag, entries, own.start_mark, own.end_mark)


def _same_entry(
    entries: Sequence[yaml.Node], entry: yaml.Node, naming: Iterable[str]
) -> int | None:
    """Which entry has the same name; a suite without a title goes by its task."""
    key = next((key for key in naming if _scalar(entry, key) is not None), None)
    if key is None:
        return None
    name = _scalar(entry, key)
    found = [number for number, other in enumerate(entries) if _scalar(other, key) == name]
    if len(found) > 1:
        raise UsageError(
            f"{_place(entry)}: {len(found)} entries of the extended file have the {key} {name!r}; "
            f"give the title of the one that is meant"
        )
    return found[0] if found else None


def _scalar(node: yaml.Node, key: str) -> str | None:
    if not isinstance(node, yaml.MappingNode):
        return None
    found = [value for name, value in node.value if name.value == key]
    return str(found[-1].value) if found and isinstance(found[-1], yaml.ScalarNode) else None


def _place(node: yaml.Node | None) -> str:
    return f"{node.start_mark.name}:{node.start_mark.line + 1}" if node is not None else ""


def _problem(error: yaml.YAMLError) -> str:
    if isinstance(error, yaml.reader.ReaderError):
        return f"the character {chr(int(error.character))!r} is not allowed"
    return str(getattr(error, "problem", None) or str(error).splitlines()[0])


def _line_of(error: yaml.YAMLError, text: str) -> int:
    if isinstance(error, yaml.reader.ReaderError):
        return text.count("\n", 0, error.position) + 1
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    return int(mark.line) + 1 if mark else 1
