"""The program: ``snnconvert`` and ``python -m snnconvert``."""

import os
import signal

INTERRUPTED = 130


def main() -> int:
    """Run the command line; Ctrl-C ends it quietly, also while its parts are still imported."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _leave)
    from snnconvert.cli import main as command_line

    return command_line()


def _leave(*_: object) -> None:
    os.write(2, b"interrupted; nothing was written\n")
    os._exit(INTERRUPTED)


if __name__ == "__main__":
    raise SystemExit(main())
