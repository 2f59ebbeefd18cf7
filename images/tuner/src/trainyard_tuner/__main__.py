"""The command `trainyard-tuner propose`: the order in the environment, the proposals as the last line of stdout.

Separate because it must say how many threads there are before numpy is imported, and because it is the contract with
the operator: exit 0 with proposals, 2 with a sentence in the termination log for an order that cannot be carried out.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from trainyard_tuner.problems import OrderError

EXIT_PROPOSED, EXIT_REFUSED = 0, 2
_ORDER = "TRAINYARD_SEARCH"
_DEFAULT_TERMINATION_LOG = "/dev/termination-log"
#: In bytes: the termination log takes 4096.
_LONGEST_ERROR = 2000
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words != ["propose"]:
        print("usage: trainyard-tuner propose", file=sys.stderr)
        return EXIT_REFUSED
    # NB: sums that are shared out over threads differ in their last bits from run to run.
    for name in _THREADS:
        os.environ[name] = "1"
    return propose(os.environ)


def propose(environ: Mapping[str, str]) -> int:
    """Carry out the order in the environment; the exit code."""
    started = time.monotonic()
    try:
        from trainyard_tuner import orders, proposing

        order = orders.read(environ.get(_ORDER, ""))
        points = proposing.proposals(order)
    except OrderError as error:
        sentence = f"{_ORDER} {error}"
        print(sentence, file=sys.stderr)
        _terminate(environ, sentence)
        return EXIT_REFUSED
    ended, pending = len(order.history), len(order.pending)
    print(
        f"Proposed {len(points)} from {ended} ended and {pending} pending trials"
        f" in {time.monotonic() - started:.1f} s ({proposing.method(order)}).",
        file=sys.stderr,
    )
    print(json.dumps({"proposals": points}, ensure_ascii=False, separators=(",", ":")), flush=True)
    return EXIT_PROPOSED


def _terminate(environ: Mapping[str, str], sentence: str) -> None:
    """Kubernetes' own path is only written where the kubelet has put that file."""
    path = Path(environ.get("TRAINYARD_TERMINATION_LOG") or _DEFAULT_TERMINATION_LOG)
    if str(path) == _DEFAULT_TERMINATION_LOG and not path.exists():
        return
    with contextlib.suppress(OSError):
        path.write_bytes(sentence.encode()[:_LONGEST_ERROR])


if __name__ == "__main__":
    sys.exit(main())
