"""The command `trainyard-data`: `check`, or an action on a dataset.

Separate because it decides, before anything heavy is imported, which of the two contracts holds: that of the check
(docs/datasets.md) or that of a trainer (docs/trainer-contract.md).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from trainyard_data import limits


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    action = words[0] if words else os.environ.get("TRAINYARD_ACTION", "")
    if not action or len(words) > 1:
        print("usage: trainyard-data check|ACTION", file=sys.stderr)
        return 2
    if action == "check":
        limits.bound()
        from trainyard_data.checks import command

        return command.run(os.environ)
    from trainyard_data.actions import running

    return running.run(action)


if __name__ == "__main__":
    sys.exit(main())
