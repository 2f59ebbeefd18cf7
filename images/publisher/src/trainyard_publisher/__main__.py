"""The command `trainyard-publisher publish|unpublish`.

Separate because it installs the signals' handlers before anything slow is imported. The contract is that of a trainer
(docs/trainer-contract.md).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from trainyard_publisher import running


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    action = words[0] if words else os.environ.get("TRAINYARD_ACTION", "")
    if not action or len(words) > 1:
        print("usage: trainyard-publisher publish|unpublish", file=sys.stderr)
        return 2
    return running.run(action, os.environ)


if __name__ == "__main__":
    sys.exit(main())
