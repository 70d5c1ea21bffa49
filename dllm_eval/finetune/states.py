"""What a killed run goes on from: one file, replaced whole at the end of every epoch.

Knows torch's files; knows no model. Called by `train.py`.
"""

import pickle
from typing import Any

import torch

from dllm_eval.errors import UsageError
from dllm_eval.files import check_folder_can_be
from dllm_eval.finetune.plan import Plan

_KEYS = {"plan", "module", "optimizer", "epochs"}


class States:
    """The state of one run, beside the folder that it will write.

    Args:
        plan: The run; a state of another one is refused.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self.path = plan.out.with_name(f".{plan.out.name}.state")

    def read(self) -> dict[str, Any] | None:
        """The last whole state; None where there is none.

        Raises:
            UsageError: It is damaged, or of a run with other options.
        """
        if not self.path.is_file():
            return None
        try:
            found = torch.load(self.path, map_location="cpu", weights_only=True)
        except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
            line = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise UsageError(
                f"{self.path} cannot be read: {line}; remove it to begin anew"
            ) from error
        if not isinstance(found, dict) or not _KEYS.issubset(found):
            raise UsageError(f"{self.path} is no state of a run; remove it to begin anew")
        wanted = self._plan.as_dict()
        if found.get("plan") != wanted:
            differs = [k for k in wanted if found.get("plan", {}).get(k) != wanted[k]]
            raise UsageError(
                f"{self.path} is of a run with another {', '.join(differs)}; remove it or pass "
                "another --out"
            )
        state: dict[str, Any] = found
        return state

    def check(self) -> None:
        """Looks where the state will lie, so that a run does not find out after its first epoch.

        Raises:
            UsageError: No folder can be made there, or nothing written into it.
        """
        check_folder_can_be(self.path.parent)

    def write(self, state: dict[str, Any]) -> None:
        """Replaces the state at one instant.

        Raises:
            UsageError: It cannot be written.
        """
        part = self.path.with_suffix(".part")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            torch.save({"plan": self._plan.as_dict(), **state}, part)
            part.replace(self.path)
        except (OSError, RuntimeError) as error:
            part.unlink(missing_ok=True)
            raise UsageError(f"cannot write {str(self.path)!r}: {error}") from error

    def forget(self) -> None:
        """Removes it, once the folder is written."""
        self.path.unlink(missing_ok=True)
