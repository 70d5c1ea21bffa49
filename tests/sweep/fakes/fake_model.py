"""An lm-eval model that needs no weights: it echoes the first `steps` times 4 prompts rightly.

Like a real one it runs batches of all requests of a call, in a fixed order, and a batch of which
anything is missing whole. `FAULTS` are step counts at which it fails.
"""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

from lm_eval.api.instance import Instance
from lm_eval.api.model import LM

from dllm_eval.errors import UsageError
from dllm_eval.records import RequestLog, RequestRecord


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _memory() -> None:
    raise MemoryError("no room for the keys and values")


def _nan() -> None:
    raise UsageError("the model's logits are NaN; accepted: finite logits")


def _bug() -> None:
    raise KeyError("a bug\nof two lines")


FAULTS: dict[int, Callable[[], None]] = {
    66: lambda: os._exit(7),
    67: _kill,
    68: _memory,
    69: _nan,
    70: _bug,
}


class FakeLM(LM):
    log: RequestLog
    share: tuple[int, int] | None = None

    def __init__(
        self,
        *,
        side_file: str,
        pretrained: str | None = None,
        steps: int = 1,
        pause_s: float = 0.0,
        faults: int = 99,
        batch_size: int = 1,
        seed: int = 0,
        records: str | None = None,
        warmup: int = 0,
        timing_repeats: int = 1,
    ) -> None:
        super().__init__()
        if steps > 90:
            raise UsageError(f"steps is {steps}; accepted: up to 90")
        self.side_file, self.steps, self.pause_s = Path(side_file), steps, pause_s
        self.faults = faults
        """How often, over all processes, the fault of this step count happens."""
        self.batch_size, self.seed, self.repeats = batch_size, seed, timing_repeats
        self.unused = (pretrained, records, warmup)

    def generate_until(self, requests: list[Instance]) -> list[str]:
        self._run(requests, "generate_until")
        return [found.response if found else "" for found in self._found(requests)]

    def loglikelihood(self, requests: list[Instance]) -> list[tuple[float, bool]]:
        self._run(requests, "loglikelihood")
        values = [found.value if found else None for found in self._found(requests)]
        return [(value or 0.0, False) for value in values]

    def loglikelihood_rolling(self, requests: list[Instance]) -> list[float]:
        raise NotImplementedError

    def _found(self, requests: list[Instance]) -> list[RequestRecord | None]:
        return [self.log.get(self._key(request)) for request in requests]

    def _key(self, request: Instance) -> str:
        return f"{request.task_name}-{request.doc_id}-{request.idx}-{self.steps}"

    def _run(
        self, requests: list[Instance], kind: Literal["generate_until", "loglikelihood"]
    ) -> None:
        for batch in self._batches(requests):
            missing = [one for one in batch if self.log.get(self._key(one)) is None]
            if missing:
                self._fail()
                time.sleep(self.pause_s)
            for request in missing:
                self._put(request, kind, len(batch))

    def _batches(self, requests: list[Instance]) -> Iterator[list[Instance]]:
        for number, start in enumerate(range(0, len(requests), self.batch_size)):
            if self.share is None or number % self.share[1] == self.share[0]:
                yield requests[start : start + self.batch_size]

    def _fail(self) -> None:
        if self.steps not in FAULTS:
            return
        marks = self.side_file.with_name(f"faults-{self.steps}")
        if not marks.exists() or len(marks.read_text()) < self.faults:
            with marks.open("a") as file:
                file.write("x")
            FAULTS[self.steps]()

    def _put(
        self, request: Instance, kind: Literal["generate_until", "loglikelihood"], together: int
    ) -> None:
        prompt = str(request.args[0])
        number = int(prompt.removeprefix("q"))
        score = kind == "loglikelihood"
        right = number < 4 * self.steps
        record = RequestRecord(
            key=self._key(request),
            task=str(request.task_name),
            doc_id=int(request.doc_id or 0),
            index=request.idx,
            request_type=kind,
            model="diffusion",
            prompt_tokens=1,
            visible_tokens=1,
            canvas_tokens=4,
            nfe=self.steps,
            positions=4 * self.steps * together,
            seconds=0.05,
            repeat_seconds=[0.05] * self.repeats,
            batch_size=self.batch_size,
            seed=self.seed,
            response="" if score else prompt if right else "wrong",
            value=-1.5 - number / 7 - (request.idx == right) if score else None,
        )
        self.log.put(record)
        with self.side_file.open("a") as file:
            file.write(f"{self.batch_size} {record.key}\n")
        with self.side_file.with_name("workers.txt").open("a") as file:
            file.write(f"{os.getpid()}\n")
