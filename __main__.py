"""``python -m snnconvert``: the command line without its entry-point script."""

from snnconvert.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
