"""``--profile FILE``: where the process spends its time, as a call tree that a person can read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from engine.model.errors import Blocked
from engine.runs.shared.exports import fresh

INTERVAL_S = 0.005


def _pyinstrument() -> Any:
    return import_module("pyinstrument")  # an extra, loaded only where it is asked for


@contextmanager
def profiling(file: Path | None, load: Callable[[], Any] = _pyinstrument) -> Iterator[None]:
    """Sample the block and write FILE: a web page where it ends in ``.html``, text otherwise. None: do nothing.

    Raises Blocked where pyinstrument is not installed, or FILE cannot be written, before anything is begun.
    """
    if file is None:
        yield
        return
    try:
        profiler = load().Profiler(interval=INTERVAL_S, async_mode="disabled")
    except ImportError:
        raise Blocked("--profile needs the pyinstrument package", hint="pip install 'engine[profile]'") from None
    try:
        out = fresh(file)
    except OSError as error:
        raise Blocked(f"{file} cannot be written ({error.strerror})", hint="name another file for --profile") from None
    with out:
        profiler.start()
        try:
            yield
        finally:
            profiler.stop()
            web = file.suffix.lower() in {".html", ".htm"}
            out.write(
                profiler.output_html() if web else profiler.output_text(unicode=True, color=False, show_all=False)
            )
