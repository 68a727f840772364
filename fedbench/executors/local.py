"""Cells in worker processes of this machine."""

import multiprocessing
import os
import queue
import signal
import threading
import time
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from fedbench.config import RunConfig, Runtime
from fedbench.executors.base import Executor, Outcome, Report
from fedbench.executors.cell import run
from fedbench.registry import EXECUTORS, load_plugin


@EXECUTORS.register("local")
class Local(Executor):
    """`jobs` worker processes on this machine; on CUDA each keeps to one GPU, round robin.

    If a worker dies (the kernel kills it when memory is short), Python ends the whole pool and does not say
    which one it was. The cells that were running are then run again alone, one after the other: the one that
    is alone when it happens again has failed.
    """

    def __init__(self, runtime: Runtime, *, jobs: int, plugins: tuple[Path, ...], report: Report):
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        threads = runtime.threads or max(1, cores // jobs)
        runtime = runtime.model_copy(update={"threads": threads})
        super().__init__(runtime, jobs=jobs, plugins=plugins, report=report)
        self._gpus = _gpus(runtime.device)
        self._context = multiprocessing.get_context("spawn")
        self._running: dict[Future[Outcome], str] = {}
        self._suspects: set[str] = set()
        self._open()

    def ready(self) -> bool:
        return len(self._running) < (1 if self._suspects else self.jobs)

    def active(self) -> bool:
        return bool(self._running)

    def submit(self, config: RunConfig, path: Path) -> None:
        # Workers inherit the mask: Ctrl-C, which a terminal sends to all of them, is for this process.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self._running[self._executor.submit(_work, config, path)] = config.cell
        except BrokenProcessPool:  # it died after its last cell; that is nobody's fault
            self._open()
            self._running[self._executor.submit(_work, config, path)] = config.cell
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def poll(self) -> list[Outcome]:
        wait(self._running, timeout=0.1, return_when=FIRST_COMPLETED)
        self._drain()
        outcomes: list[Outcome] = []
        broken: list[str] = []
        for future in [f for f in self._running if f.done()]:
            cell = self._running.pop(future)
            try:
                outcomes.append(future.result())
                self._suspects.discard(cell)
            except BrokenProcessPool:
                broken.append(cell)
        if broken:
            outcomes += self._after_death([*broken, *self._running.values()])
        return outcomes

    def close(self) -> None:
        processes = self._processes()
        for process in processes:
            process.terminate()
        for process in processes:
            process.join(5)  # when this returns, the locks of their cells are free
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _open(self) -> None:
        self._others = set(multiprocessing.active_children())
        self._events = self._context.Queue()
        number = self._context.Value("i", 0)
        arguments = (os.getpid(), self._events, number, self._gpus, self.runtime, self.plugins)
        self._executor = ProcessPoolExecutor(
            self.jobs, mp_context=self._context, initializer=_begin_worker, initargs=arguments
        )

    def _processes(self) -> set[BaseProcess]:
        return set(multiprocessing.active_children()) - self._others

    def _drain(self) -> None:
        while True:
            try:
                self.report(*self._events.get_nowait())
            except queue.Empty:
                return

    def _after_death(self, cells: list[str]) -> list[Outcome]:
        self.close()
        self._running.clear()
        self._open()
        if len(cells) == 1:
            self._suspects.discard(cells[0])
            return [
                Outcome(cells[0], "failed", "its worker process died; was memory short? try fewer --jobs")
            ]
        self._suspects.update(cells)
        return [Outcome(cell, "again") for cell in cells]


def _gpus(device: str) -> int:
    """How many GPUs to spread workers over: all visible ones for "cuda", none to choose from for "cuda:1"."""
    if device != "cuda":
        return 0
    import torch

    return torch.cuda.device_count()


_worker: dict[str, Any] = {}
"""A worker's runtime and event queue, set once when it starts."""


def _begin_worker(
    parent: int, events: Any, number: Any, gpus: int, runtime: Runtime, plugins: tuple[Path, ...]
) -> None:
    threading.Thread(target=_die_with, args=(parent,), daemon=True).start()
    with number.get_lock():
        index, number.value = number.value, number.value + 1
    if gpus:
        runtime = runtime.model_copy(update={"device": f"cuda:{index % gpus}"})
    for plugin in plugins:
        load_plugin(plugin)
    events.cancel_join_thread()
    _worker.update(runtime=runtime, events=events)


def _die_with(parent: int) -> None:
    """End this worker when the process that started it is gone (kill -9): it would wait for work for ever."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def _work(config: RunConfig, path: Path) -> Outcome:
    return run(config, _worker["runtime"], path=path, progress=_Throttled(config.cell))


class _Throttled:
    """Sends progress to the main process, at most five times a second in one phase."""

    def __init__(self, cell: str):
        self._cell, self._phase, self._last = cell, "", 0.0

    def __call__(self, phase: str, done: int, total: int) -> None:
        now = time.monotonic()
        if phase != self._phase or done >= total or now - self._last > 0.2:
            self._phase, self._last = phase, now
            _worker["events"].put((self._cell, phase, done, total))
