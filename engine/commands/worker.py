"""A worker of ``run backup --executor processes:N``: started by the run, not by people."""

from engine.commands.frame import perform


def main() -> None:
    """Serve the run at the other end of standard input."""
    from engine.limiting.clock import SystemClock
    from engine.runs.executors.pipe import serve

    perform(serve(SystemClock()))


if __name__ == "__main__":
    main()
