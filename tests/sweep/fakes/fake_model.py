"""An lm-eval model that needs no weights: it echoes the first `steps` times 4 prompts rightly."""

import os
import time
from pathlib import Path

from lm_eval.api.instance import Instance
from lm_eval.api.model import LM

from dllm_eval.errors import UsageError
from dllm_eval.records import RequestLog, RequestRecord


class FakeLM(LM):
    log: RequestLog

    def __init__(
        self,
        *,
        side_file: str,
        pretrained: str | None = None,
        steps: int = 1,
        pause_s: float = 0.0,
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
        self.batch_size, self.seed, self.repeats = batch_size, seed, timing_repeats
        self.unused = (pretrained, records, warmup)

    def generate_until(self, requests: list[Instance]) -> list[str]:
        return [self._answer(request).response for request in requests]

    def _answer(self, request: Instance) -> RequestRecord:
        key = f"{request.task_name}-{request.doc_id}-{self.steps}"
        found = self.log.get(key)
        if found is not None:
            return found
        if self.steps == 66:
            os._exit(7)
        time.sleep(self.pause_s)
        prompt = str(request.args[0])
        record = RequestRecord(
            key=key,
            task=str(request.task_name),
            doc_id=int(request.doc_id or 0),
            index=0,
            request_type="generate_until",
            model="diffusion",
            prompt_tokens=1,
            visible_tokens=1,
            canvas_tokens=4,
            nfe=self.steps,
            positions=4 * self.steps,
            seconds=0.05,
            repeat_seconds=[0.05] * self.repeats,
            batch_size=self.batch_size,
            seed=self.seed,
            response=prompt if int(prompt[1:]) < 4 * self.steps else "wrong",
        )
        self.log.put(record)
        with self.side_file.open("a") as file:
            file.write(f"{self.batch_size} {key}\n")
        return record

    def loglikelihood(self, requests: list[Instance]) -> list[tuple[float, bool]]:
        raise NotImplementedError

    def loglikelihood_rolling(self, requests: list[Instance]) -> list[float]:
        raise NotImplementedError
