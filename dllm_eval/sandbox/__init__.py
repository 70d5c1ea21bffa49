"""Running code that a model wrote, never in our own process. See `runner.run_program`."""

from dllm_eval.sandbox.outcome import Isolation, Outcome
from dllm_eval.sandbox.runner import SandboxError, run_program

__all__ = ["Isolation", "Outcome", "SandboxError", "run_program"]
