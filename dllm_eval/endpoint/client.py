"""Asks a server many things, several at a time, from ordinary code.

Requests run in a thread of their own with its own event loop, so that a caller whose thread
already runs one (a notebook) may call too. Knows neither lm-eval nor records; `adapters/api.py`
calls it.
"""

import asyncio
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise

from dllm_eval.endpoint.answer import flag_of, readable
from dllm_eval.endpoint.ask import Ask, Reply
from dllm_eval.endpoint.channel import Channel, open_channel
from dllm_eval.endpoint.exchange import Exchange, exchange
from dllm_eval.endpoint.faults import FinalError, PassingError, UsageRefusedError
from dllm_eval.endpoint.pace import Pace
from dllm_eval.endpoint.server import Server, ServerError
from dllm_eval.errors import UsageError
from dllm_eval.measure.wall import instant_s

Answered = tuple[int, Reply]
Handed = tuple[Answered, asyncio.Event]
"""An answer on its way to the caller, and what tells its worker that it is kept."""


def answer_all(
    server: Server,
    asks: Sequence[Ask],
    done: Callable[[int, Reply], None],
    *,
    in_flight: int,
    starts_s: Sequence[float] | None = None,
    until_s: float | None = None,
) -> None:
    """Ask a server everything, in order, and hand over each answer as it comes.

    Args:
        server: Who is asked.
        asks: What.
        done: Called in this thread with an ask's index and its reply, once each.
        in_flight: At most so many requests are open, or answered and not yet handed over, at a
            time; the next is sent when `done` has returned for one.
        starts_s: When each ask is due, from the beginning, in order; without it, as soon as there
            is a free place.
        until_s: Nothing becomes due later than so many seconds after the beginning. What was due
            by then is still sent, even if it had to wait for a free place.

    Raises:
        UsageError: If an argument is out of range.
        ServerError: If an ask cannot be answered: retries are spent, or no retry would help. The
            others in flight were given up by then; what was answered was handed over.
        KeyboardInterrupt: Likewise; and SystemExit.
    """
    _check(asks, in_flight, starts_s)
    if not asks:
        return
    call = _Call(server, asks, in_flight=in_flight, starts_s=starts_s, until_s=until_s)
    thread = threading.Thread(target=call.run, name="dllm-eval requests", daemon=True)
    thread.start()
    try:
        for answered, kept in iter(call.answered.get, None):
            done(*answered)
            call.tell(kept)
    except (KeyboardInterrupt, SystemExit):
        call.give_up()
        thread.join()
        for answered in call.left():
            done(*answered)
        raise
    finally:
        call.give_up()
        thread.join()
    if call.bug is not None:
        raise call.bug
    if call.failure is not None:
        raise ServerError(server.hide(f"{server.host}: {call.failure}"))


def _check(asks: Sequence[Ask], in_flight: int, starts_s: Sequence[float] | None) -> None:
    """Refuse what cannot be offered."""
    if in_flight < 1:
        raise UsageError(f"{in_flight} requests in flight are not accepted: at least 1")
    if starts_s is None:
        return
    if len(starts_s) != len(asks):
        raise UsageError(f"{len(starts_s)} starts for {len(asks)} requests: one each is accepted")
    if any(later < earlier for earlier, later in pairwise(starts_s)):
        raise UsageError("starts that go back in time: accepted are starts in ascending order")


@dataclass(frozen=True, kw_only=True)
class _Due:
    """An ask whose turn has come."""

    index: int
    at_s: float
    """By the clock."""


class _Call:
    """One call of `answer_all`, in its own thread."""

    def __init__(
        self,
        server: Server,
        asks: Sequence[Ask],
        *,
        in_flight: int,
        starts_s: Sequence[float] | None,
        until_s: float | None,
    ) -> None:
        self._server = server
        self._asks = asks
        self._in_flight = min(in_flight, len(asks))
        self._starts_s = starts_s
        self._until_s = until_s
        self._next = 0
        self._begun_at_s = 0.0
        self._pace = Pace(server.retries, host=server.host)
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop
        self._task: asyncio.Task[None] | None = None
        self.answered: queue.SimpleQueue[Handed | None] = queue.SimpleQueue()
        """Replies, then None."""
        self.failure: str | None = None
        """Why an ask could not be answered."""
        self.bug: BaseException | None = None
        """What no server is to blame for."""

    def run(self) -> None:
        """The thread's whole life."""
        try:
            asyncio.run(self._main())
        except asyncio.CancelledError:
            pass
        except FinalError as error:
            self.failure = error.line
        except BaseException as error:
            self.bug = error
        finally:
            self._ready.set()
            self.answered.put(None)

    def give_up(self) -> None:
        """Send nothing more and close what is open; nothing if all is done."""
        self._ready.wait()
        if self._task is not None:
            with suppress(RuntimeError):  # the loop is closed: nothing is open
                self._loop.call_soon_threadsafe(self._task.cancel)

    def tell(self, kept: asyncio.Event) -> None:
        """Let the worker of an answer that is kept go on."""
        with suppress(RuntimeError):  # the loop is closed: nobody waits
            self._loop.call_soon_threadsafe(kept.set)

    def left(self) -> Iterator[Answered]:
        """Replies that nobody has taken, once the thread has ended."""
        while not self.answered.empty():
            found = self.answered.get()
            if found is not None:
                yield found[0]

    async def _main(self) -> None:
        """Let so many workers take asks in turn, until all are done or one has failed."""
        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        self._begun_at_s = instant_s()
        self._ready.set()
        async with open_channel(self._server) as channel:
            workers = [asyncio.create_task(self._work(channel)) for _ in range(self._in_flight)]
            try:
                await asyncio.wait(workers, return_when=asyncio.FIRST_EXCEPTION)
            finally:
                for worker in workers:
                    worker.cancel()
                ended = await asyncio.gather(*workers, return_exceptions=True)
        for error in ended:
            if isinstance(error, FinalError):
                self.failure = self.failure or error.line
            elif isinstance(error, Exception):
                raise error

    async def _work(self, channel: Channel) -> None:
        """Take one ask after the other, each once the answer before it is kept.

        So whatever ends this process costs no more answers than are in flight.
        """
        while (due := self._take()) is not None:
            await asyncio.sleep(max(0.0, due.at_s - instant_s()))
            reply = await self._answered(channel, due)
            kept = asyncio.Event()
            self.answered.put(((due.index, reply), kept))
            await kept.wait()

    def _take(self) -> _Due | None:
        """The next ask and when it is due; None where nothing is due any more."""
        index = self._next
        if index == len(self._asks):
            return None
        now_s = instant_s()
        start_s = now_s - self._begun_at_s if self._starts_s is None else self._starts_s[index]
        if self._until_s is not None and start_s > self._until_s:
            return None
        self._next += 1
        return _Due(index=index, at_s=self._begun_at_s + start_s)

    async def _answered(self, channel: Channel, due: _Due) -> Reply:
        """Ask until there is an answer.

        Raises:
            FinalError: If there will be none.
        """
        ask = self._asks[due.index]
        most = self._server.retries.most_tries
        tries = 0
        while True:
            await self._pace.ready()
            tries += 1
            usage = self._server.learnt.takes_usage
            try:
                found = await exchange(channel, ask, usage=usage)
            except UsageRefusedError:
                self._server.learnt.takes_usage = False
                continue
            except PassingError as fault:
                failed = fault
            else:
                return self._reply(found, due, tries=tries)
            if tries >= most:
                word = "try" if tries == 1 else "tries"
                raise FinalError(f"no answer in {tries} {word}; the last: {failed.line}")
            wait_s = self._pace.wait_s(tries, failed.wait_s)
            if failed.shared:
                self._pace.hold(wait_s)
            await self._pace.sleep(wait_s, self._server.hide(failed.line))

    def _reply(self, found: Exchange, due: _Due, *, tries: int) -> Reply:
        """An answered try as plain data; a server that quotes the key does not bring it in."""
        parts = found.parts
        first_at_s = parts.first_text_at_s

        def hide(text: str) -> str:
            return self._server.hide(readable(text))

        return Reply(
            text=self._server.hide_in_answer(readable(parts.text)),
            finish_reason=hide(parts.finish_reason),
            flag=flag_of(parts),
            prompt_tokens=parts.usage.prompt_tokens,
            completion_tokens=parts.usage.completion_tokens,
            reasoning_tokens=parts.usage.reasoning_tokens,
            served_model=hide(parts.served_model),
            fingerprint=hide(parts.fingerprint),
            warning=hide(parts.warning),
            seconds=found.answered_at_s - found.sent_at_s,
            first_text_s=None if first_at_s is None else first_at_s - found.sent_at_s,
            offered_s=due.at_s - self._begun_at_s,
            whole_s=found.answered_at_s - due.at_s,
            tries=tries,
        )
