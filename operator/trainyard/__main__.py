"""`python -m trainyard` is the command `trainyard`."""

from __future__ import annotations

from trainyard.cli import main

if __name__ == "__main__":
    main(prog_name="trainyard")
