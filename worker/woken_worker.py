"""An arq worker that sleeps until a message wakes it.

arq looks for jobs at intervals, so a job waits for half an interval on average, and each job costs four round
trips before it begins and one after it. This worker gets a message for each queued job, and takes all due
jobs in one round trip.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final

import msgspec
import structlog
from arq.connections import ArqRedis
from arq.constants import in_progress_key_prefix, job_key_prefix, retry_key_prefix
from arq.cron import CronJob
from arq.worker import Function, Retry, Worker

from shared.change_listener import ChangeListener
from shared.concurrency import raise_if_cancelled
from shared.jobs import JOB_EXPIRES_S, queue_name, wake_channel
from shared.redis_client import REDIS_FAILURES
from shared.settings import Settings

# How often a worker looks for jobs whose message it missed.
POLL_S: Final = 0.5
JOBS_AT_ONCE: Final = 8
JOB_TIMEOUT_S: Final = 120
MAX_TRIES: Final = 8
HEALTH_S: Final = 30
LOOKED_AT: Final = 100
# Forgets jobs that are done, then takes jobs that are due as arq does: whoever makes a job's in-progress key
# runs the job. A job without a body has expired. Returns id, due time (ms since 1970) and body of those
# taken, and when the next job is due. The body is empty if the job was tried before, or is no text.
TAKE_JOBS: Final = """
for place = 8, #ARGV do
    local id = ARGV[place]
    redis.call('DEL', ARGV[4] .. id, ARGV[5] .. id, ARGV[6] .. id)
    redis.call('ZREM', KEYS[1], id)
end
local taken = {}
local due = redis.call('ZRANGE', KEYS[1], '-inf', ARGV[1], 'BYSCORE', 'LIMIT', 0, ARGV[3], 'WITHSCORES')
for place = 1, #due, 2 do
    if #taken >= 3 * tonumber(ARGV[2]) then break end
    local id = due[place]
    if redis.call('EXISTS', ARGV[4] .. id) == 0 then
        redis.call('ZREM', KEYS[1], id)
    elseif redis.call('SET', ARGV[5] .. id, '1', 'PX', ARGV[7], 'NX') then
        local body = redis.pcall('GET', ARGV[4] .. id)
        if type(body) ~= 'string' or redis.call('EXISTS', ARGV[6] .. id) == 1 then body = '' end
        taken[#taken + 1], taken[#taken + 2], taken[#taken + 3] = id, due[place + 1], body
    end
end
local later = redis.call('ZRANGE', KEYS[1], '(' .. ARGV[1], '+inf', 'BYSCORE', 'LIMIT', 0, 1, 'WITHSCORES')
return {taken, later[2] or false}
"""

log = structlog.get_logger()


class Job(msgspec.Struct):
    """The body of a job, as arq writes it. f: the function's name. a, k: its arguments."""

    f: str
    a: list[Any]
    k: dict[str, Any]


class WakeListener(ChangeListener):
    """Calls a function when a job was queued, or when messages may have been missed."""

    def __init__(self, settings: Settings, wake: Callable[[], None]) -> None:
        super().__init__(settings, lambda _: None, wake)
        self._wake = wake

    def _channels(self) -> Sequence[str]:
        return [wake_channel(self._settings)]

    async def _hear(self, redis: Any, channel: str, data: bytes) -> None:
        self._wake()


class WokenWorker(Worker):
    """Runs jobs until main() is cancelled. It handles no signals.

    The first try of a job costs no command of its own: it comes with its body, and is forgotten with the next
    look for jobs. Further tries, periodic jobs and what is unreadable are left to arq.
    """

    def __init__(
        self,
        settings: Settings,
        redis: ArqRedis,
        functions: Sequence[Function],
        cron_jobs: Sequence[CronJob],
        ctx: dict[str, Any],
    ) -> None:
        super().__init__(
            functions,
            redis_pool=redis,
            queue_name=queue_name(settings),
            cron_jobs=cron_jobs,
            ctx=ctx,
            job_serializer=redis.job_serializer,
            job_deserializer=redis.job_deserializer,
            handle_signals=False,
            max_jobs=JOBS_AT_ONCE,
            job_timeout=JOB_TIMEOUT_S,
            keep_result=0,
            poll_delay=POLL_S,
            max_tries=MAX_TRIES,
            health_check_interval=HEALTH_S,
            log_results=False,
        )
        self._listener = WakeListener(settings, self.wake)
        self._take = redis.register_script(TAKE_JOBS)
        self._woken = asyncio.Event()
        self._poisoned: list[str] = []
        self._done: list[str] = []
        self._is_full = False
        self._next_due_ms: float | None = None

    def wake(self) -> None:
        """Look for jobs now."""
        self._woken.set()

    async def main(self) -> None:
        """Run jobs until cancelled. Raises RedisError, OSError or TimeoutError when Redis is away."""
        self.ctx["redis"] = self.pool
        listening = asyncio.create_task(self._listener.run())
        try:
            while True:
                raise_if_cancelled()
                self._woken.clear()
                await self._poll_iteration()
                raise_if_cancelled()
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._sleep_s()):
                        await self._woken.wait()
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)

    async def _poll_iteration(self) -> None:
        if (free := self.max_jobs - len(self.tasks)) > 0:
            for job_id, due_ms, body in (taken := await self._taken(free)):
                self.tasks[job_id] = task = asyncio.create_task(self._run(job_id, due_ms, body))
                task.add_done_callback(partial(self._note_end, job_id))
            self._is_full = len(taken) == free
        while self._poisoned:
            await self.finish_failed_job(self._poisoned.pop(), None)
        await self.heart_beat()

    async def forget_done(self) -> None:
        """Remove the jobs that are done. Raises RedisError, OSError or TimeoutError when Redis is away."""
        if self._done:
            await self._taken(0)

    async def _taken(self, free: int) -> list[tuple[str, int, bytes]]:
        """Take up to so many jobs that are due. Returns their ids, when they were due, and their bodies."""
        done = list(self._done)
        prefixes = (job_key_prefix, in_progress_key_prefix, retry_key_prefix)
        timeout_ms = int(self.in_progress_timeout_s * 1000)
        values: list[str | int] = [int(time.time() * 1000), free, LOOKED_AT, *prefixes, timeout_ms, *done]
        found, later = await self._take([self.queue_name], values)
        del self._done[: len(done)]
        self._next_due_ms = None if later is None else float(later)
        taken = []
        for raw_id, due_ms, body in zip(found[::3], found[1::3], found[2::3], strict=True):
            if not raw_id.isascii():  # no job of ours, and arq cannot name it
                await self.pool.zrem(self.queue_name, raw_id)
            elif (job_id := raw_id.decode()) not in self.tasks:
                taken.append((job_id, int(float(due_ms)), body))
        return taken

    async def _run(self, job_id: str, due_ms: int, body: bytes) -> None:
        """Run a job. If its first try fails, arq tries it again and decides what becomes of it."""
        if (job := self._readable(body)) is None:
            await self.run_job(job_id, due_ms)
            return
        try:
            async with asyncio.timeout(self.job_timeout_s):
                ctx = {**self.ctx, "job_id": job_id, "job_try": 1}
                await self.functions[job.f].coroutine(ctx, *job.a, **job.k)
        except (Exception, asyncio.CancelledError) as error:
            pause_ms = (error.defer_score or 0) if isinstance(error, Retry) else 0
            late_ms = int(time.time() * 1000) - due_ms
            await self.pool.set(f"{retry_key_prefix}{job_id}", 1, px=JOB_EXPIRES_S * 1000)
            await asyncio.shield(self.finish_job(job_id, False, None, None, False, pause_ms + late_ms, None))
            raise_if_cancelled()
        else:
            self.jobs_complete += 1
            self._done.append(job_id)

    def _readable(self, body: bytes) -> Job | None:
        """The job, if a function runs it that is not periodic; None for a body that arq has to judge."""
        try:
            job = msgspec.json.decode(body, type=Job)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None
        return None if isinstance(self.functions.get(job.f), CronJob | None) else job

    def _note_end(self, job_id: str, task: asyncio.Task[None]) -> None:
        """Forget a job that ended. One that arq itself cannot run is removed, so that it ends no worker."""
        del self.tasks[job_id]
        if self._is_full:
            self.wake()
        if not task.cancelled() and (error := task.exception()) and not isinstance(error, REDIS_FAILURES):
            log.warning("job_unreadable", job_id=job_id, error=type(error).__name__)
            self._poisoned.append(job_id)

    def _sleep_s(self) -> float:
        """How long to sleep: until the next job is due, POLL_S at most."""
        if self._next_due_ms is None:
            return POLL_S
        return min(POLL_S, max(0.001, self._next_due_ms / 1000 - time.time()))
