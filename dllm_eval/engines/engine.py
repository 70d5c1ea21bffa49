"""What the harness has to know of a serving engine to start, ask and end it.

Plain data; knows no process. One file beside this describes each engine, `catalogue.py` lists them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from dllm_eval.engines.setting import Setting, Value
from dllm_eval.errors import UsageError, unknown

Chosen = Mapping[str, Value]
"""Settings that the user gave, by our names."""


def no_check(chosen: Chosen) -> None:
    """Of an engine whose settings go with each other in any way."""


@dataclass(frozen=True, kw_only=True)
class Engine:
    """A serving engine, as one release of it was read."""

    name: str
    package: str
    """The Python package whose version is the engine's."""
    also: Sequence[str] = ()
    """Further modules without which its server does not start."""
    version_read: str
    """The release whose source said what stands here; others may differ."""
    install: str
    """What the user types to get it."""
    module: Sequence[str]
    """What follows `python -m`."""
    program: Sequence[str]
    """The same where the package is elsewhere: a command on the PATH and its sub-commands."""
    model: Sequence[str] = ()
    """The flag before the model; none where it stands alone."""
    host: str = "--host"
    port: str = "--port"
    dtype: str = "--dtype"
    revision: str | None = "--revision"
    """None where it is written behind the model's name, as name@revision."""
    served_name: str | None = None
    """The flag for the name under which requests ask for the model."""
    always: Sequence[str] = ()
    """Flags of every start."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables of every start."""
    file_flag: str | None = None
    """The flag that takes the YAML file of the settings in `file`."""
    settings: Sequence[Setting] = ()
    check: Callable[[Chosen], None] = no_check
    """Raises `UsageError` where settings do not go with each other."""
    health: str = "/health"
    versions: Sequence[tuple[str, str]] = ()
    """Routes, and the key of each answer that holds the version; the first that answers counts."""
    families: Mapping[str, str] = field(default_factory=dict)
    """Our names of the diffusion families it serves, with the architecture and its source."""
    autoregressive: bool = True
    needs: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Of diffusion models: settings without which the engine does not decode them, by family; ""
    stands for all."""
    remarks: Sequence[str] = ()
    """What a user of its numbers should know, for the documentation."""

    def setting(self, name: str) -> Setting:
        """The setting of a name.

        Raises:
            UsageError: The engine has none of that name.
        """
        for one in self.settings:
            if one.name == name:
                return one
        known = [one.name for one in self.settings]
        raise unknown(f"setting of engine {self.name}", name, known)

    def checked(self, given: Mapping[str, object]) -> dict[str, Value]:
        """Settings as the engine takes them, in the order of `settings`.

        Args:
            given: By our names; None stands for one that was not given.

        Raises:
            UsageError: One it does not have, a wrong value, or two that exclude each other.
        """
        wanted = {name: value for name, value in given.items() if value is not None}
        for name in wanted:
            self.setting(name)
        chosen = {
            one.name: one.checked(self.name, wanted[one.name])
            for one in self.settings
            if one.name in wanted
        }
        self.check(chosen)
        return chosen

    def check_needs(self, chosen: Chosen, family: str | None) -> None:
        """Looks whether a diffusion model has what the engine needs to decode it.

        Args:
            chosen: What was given.
            family: The model's family; None where it is not known.

        Raises:
            UsageError: The engine does not serve the family, or a setting is missing.
        """
        if family is not None and family not in self.families:
            raise UsageError(
                f"engine {self.name} {self.version_read} does not serve the diffusion family "
                f"{family!r}; it serves: {', '.join(self.families) or 'none'}"
            )
        for name in (*self.needs.get("", ()), *self.needs.get(family or "", ())):
            if name not in chosen:
                raise UsageError(
                    f"engine {self.name} needs the argument {name} for a diffusion model: "
                    f"{self.setting(name).unset}"
                )
