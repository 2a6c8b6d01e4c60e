"""The program: ``snnconvert`` and ``python -m snnconvert``."""

import os
import signal

INTERRUPTED, TERMINATED = 130, 143


def main() -> int:
    """Run the command line; Ctrl-C and SIGTERM end it quietly, also while parts are imported."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _leave)
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _leave)
    from snnconvert.cli import main as command_line

    return command_line()


def _leave(number: int, _: object) -> None:
    terminated = number == signal.SIGTERM
    text = b"terminated" if terminated else b"interrupted"
    os.write(2, text + b"; nothing was written\n")
    os._exit(TERMINATED if terminated else INTERRUPTED)


if __name__ == "__main__":
    raise SystemExit(main())
