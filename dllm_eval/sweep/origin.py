"""Where the keys of a sweep were written: a file and a line for every part of it.

Knows YAML nodes, of one file or of several merged into one; knows nothing of sweeps. `spec_file.py`
makes one, messages about a sweep ask it.
"""

from dataclasses import dataclass, field

import yaml

Location = tuple[int | str, ...]
"""Keys and numbers that lead to a value, for example ("suites", 0, "metric")."""


@dataclass(frozen=True)
class Origin:
    """The YAML that a sweep was read from; empty where it was made otherwise."""

    root: yaml.Node | None = field(default=None, compare=False, repr=False)

    def place(self, location: Location) -> str:
        """Of the deepest part of a location that was written: "sweep.yaml:7: ", or ""."""
        if self.root is None:
            return ""
        mark = _mark(self.root, location)
        return f"{mark.name}:{mark.line + 1}: "


def _mark(node: yaml.Node, location: Location) -> yaml.Mark:
    mark = node.start_mark
    for part in location:
        if isinstance(node, yaml.MappingNode):
            found = [(k, v) for k, v in node.value if str(k.value) == str(part)]
            if not found:
                break
            key, node = found[-1]
            mark = key.start_mark
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            if part >= len(node.value):
                break
            node = node.value[part]
            mark = node.start_mark
        else:
            break
    return mark
