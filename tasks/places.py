"""Where a task's data lies now, told without reading it: local files, or a revision of the hub.

Knows the `dataset_kwargs` of our tasks and lm-eval's way to name data sets; reads no row. Sweeps
reach it by the registry, to see whether a results folder's cells were run on the same data.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import huggingface_hub

from dllm_eval.errors import UsageError

from .data import local_path, read_source

FILE_FORMATS = ("json", "csv", "parquet", "text", "arrow")
"""Builders of `datasets` whose `dataset_path` is a format, and whose files `data_files` names."""

Places = dict[str, Path | str | None]
"""The name of a source -> the file or folder it is here, else the revision that the hub's client
has fetched last; None where that is not known."""


def places_of(config: Mapping[str, Any]) -> Places:
    """The sources of one task.

    Args:
        config: Its entries, as its YAML says them.
    """
    given = config.get("dataset_kwargs")
    settings = given if isinstance(given, Mapping) else {}
    own = [v for v in settings.values() if isinstance(v, Mapping) and "file" in v]
    if own:
        return {name: place for source in own for name, place in _of_ours(source)}
    return dict(_of_lm_eval(str(config.get("dataset_path") or ""), settings))


def _of_ours(given: Mapping[str, Any]) -> Iterator[tuple[str, Path | str | None]]:
    try:
        source = read_source(dict(given))
        path = local_path(source)
    except UsageError:  # the task itself says what is wrong, when it loads
        return
    if path is not None:
        yield source.file, path
    elif source.hub is not None:
        yield f"hub {source.hub}", cached_revision(source.hub)


def _of_lm_eval(named: str, settings: Mapping[str, Any]) -> Iterator[tuple[str, Path | str | None]]:
    if not named:
        return
    if Path(named).exists() and os.sep in named:
        yield Path(named).name, Path(named)
    elif named in FILE_FORMATS:
        for name in _texts(settings.get("data_files")):
            if Path(name).is_file():
                yield Path(name).name, Path(name)
    else:
        told = settings.get("revision")
        yield f"hub {named}", str(told) if told else cached_revision(named)


def _texts(files: object) -> Iterator[str]:
    """The file names in what `datasets` takes as `data_files`: a name, a list, or by split."""
    if isinstance(files, str):
        yield files
    elif isinstance(files, Mapping | list):
        for one in files.values() if isinstance(files, Mapping) else files:
            yield from _texts(one)


def cached_revision(hub: str) -> str | None:
    """The commit of a data set's main branch that the hub's client saw last; None without one."""
    folder = "--".join(("datasets", *hub.split("/")))
    path = Path(huggingface_hub.constants.HF_HUB_CACHE) / folder / "refs" / "main"
    try:
        return path.read_text(encoding="utf-8").strip() or None
    except OSError:
        return None
