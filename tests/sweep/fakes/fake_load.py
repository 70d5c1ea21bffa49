"""A fake model that knows loads: it answers each request in no time, and can be cut off half way.

It notes how many measuring slots are held in the folder `out` meanwhile. While a file `cut` lies
beside the side file, it stops after two answers, as a killed process does.
"""

from fake_model import FakeLM  # type: ignore[import-not-found]
from lm_eval.api.instance import Instance

from dllm_eval.load import Load


class LoadedLM(FakeLM):  # type: ignore[misc]
    load: Load | None = None

    def generate_until(self, requests: list[Instance]) -> list[str]:
        if self.load is None:
            answers: list[str] = super().generate_until(requests)
            return answers
        slots = list(self.side_file.with_name("out").glob("workers/latency.*.lease.json"))
        with self.side_file.with_name("slots.txt").open("a") as file:
            file.write(f"{len(slots)} ")
        arrivals = self.load.arrivals_s()
        offered = requests[: self.load.requests if arrivals is None else len(arrivals)]
        for number, request in enumerate(offered):
            if number == 2 and self.side_file.with_name("cut").exists():
                raise KeyboardInterrupt
            self._put(request, "generate_until", 1)
            found = self.log.get(self._key(request))
            at = number / 10 if arrivals is None else arrivals[number]
            facts = {"offered_s": at, "seconds": 0.5, "repeat_seconds": [0.5]}
            self.log.put(found.model_copy(update=facts))
        answered = {self._key(request) for request in offered}
        return ["a" if self._key(request) in answered else "" for request in requests]
