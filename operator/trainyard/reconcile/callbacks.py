"""Deliveries of callbacks as reconciling sees them: handed over, and later answered by a ring.

Separate because nothing here waits for a receiver: a reconcile hands over what is due and returns, tasks of the
dispatcher send it, and the answers of an object ring for its next reconcile, which writes all that are there at once.
Called by the reconcilers of TrainingJobs and of Experiments.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from pydantic import ValidationError

from trainyard import __version__, metrics
from trainyard.api.callbacks import Callback
from trainyard.callbacks import cloudevent, credentials, signature
from trainyard.callbacks.dispatch import Dispatcher, Lane
from trainyard.callbacks.sender import NoReplyError, NotSentError, Reply, Sender
from trainyard.cluster.cache import EXPERIMENT, Cache, Key
from trainyard.cluster.client import Client
from trainyard.planning.observed import Answer
from trainyard.planning.plan import Delivery
from trainyard.planning.times import seconds
from trainyard.reconcile.queue import KeyedQueue
from trainyard.reconcile.secrets import Lacking, Secrets
from trainyard.settings import Callbacks

Json = dict[str, Any]

logger = logging.getLogger(__name__)

#: How long an answer waits for those of the same object's other deliveries, so that one write holds them.
BATCH_SECONDS = 1.0


@dataclass(eq=False, kw_only=True)
class _Chain:
    """What is being sent to one callback of one job or Experiment, one after the other.

    `parked` while it waits for a Secret and status says so already; setting it makes the next try. `callback` is what
    the last try was made with.
    """

    key: Key
    uid: str
    name: str
    host: str
    ids: list[str]
    parked: asyncio.Event | None = None
    callback: Json | None = None


@dataclass(frozen=True, kw_only=True)
class _Tried:
    """What came of one try of an entry, and the Secret that it lacked if that was why nothing was sent."""

    entry: Json
    outcome: str
    answer: Answer
    lacking: Lacking | None = None


class Deliveries:
    """Holds what is under way, by object and callback, and answers until they are written."""

    def __init__(self, *, client: Client, cache: Cache, queue: KeyedQueue, settings: Callbacks) -> None:
        self._cache = cache
        self._queue = queue
        self._give_up = settings.give_up_seconds
        self._dispatcher = Dispatcher(total=settings.concurrency)
        self._secrets = Secrets(client=client, seconds=settings.secret_poll_seconds)
        self._sender = Sender(
            allowed=settings.allowed_cidrs,
            seconds=settings.timeout_seconds,
            threads=settings.concurrency,
            user_agent=f"trainyard/{__version__}",
        )
        self._under_way: dict[str, dict[str, _Chain]] = {}
        self._answers: dict[str, dict[str, Answer]] = {}
        self._rings: dict[str, asyncio.TimerHandle] = {}
        self._parked: set[asyncio.Task[None]] = set()

    def send(self, key: Key, uid: str, delivery: Delivery) -> None:
        """Hand over; again is no harm while something to this callback is under way or its answer is not written."""
        chain = self._under_way.get(uid, {}).get(delivery.callback)
        if chain is not None:
            if chain.parked is not None and self._callback(chain) != chain.callback:
                chain.parked.set()
            return
        if self._answers.get(uid, {}).keys() & set(delivery.ids):
            return
        chain = _Chain(
            key=key, uid=uid, name=delivery.callback, host=_host(delivery.url), ids=list(delivery.ids)
        )
        self._under_way.setdefault(uid, {})[delivery.callback] = chain
        self._submit(chain)

    def answers(self, uid: str) -> Mapping[str, Answer]:
        """Answers that are not written yet, by delivery."""
        return dict(self._answers.get(uid, {}))

    def written(self, uid: str, answers: Mapping[str, Answer]) -> None:
        """Status holds these."""
        left = self._answers.get(uid)
        if left is None:
            return
        for delivery in answers:
            left.pop(delivery, None)
        if not left:
            del self._answers[uid]

    def forget(self, uid: str) -> None:
        """The object is gone: what waits for it finds that out when its turn comes."""
        self._answers.pop(uid, None)
        for chain in self._under_way.get(uid, {}).values():
            if chain.parked is not None:
                chain.parked.set()

    async def close(self) -> None:
        """Break off what is under way; it is sent again after the next start."""
        for ring in self._rings.values():
            ring.cancel()
        for task in self._parked:
            task.cancel()
        await self._secrets.close()
        await self._dispatcher.close()
        await self._sender.close()

    def _submit(self, chain: _Chain) -> None:
        async def work() -> None:
            try:
                tried = await self._try(chain)
            except BaseException:
                self._end(chain)
                raise
            self._settle(chain, tried)

        entry = _entry(self._told_of(chain) or {}, chain.ids[0]) or {}
        lane = Lane(chain.key.namespace, chain.host, progress=entry.get("event") == "Progress")
        self._dispatcher.submit(lane, work)

    def _settle(self, chain: _Chain, tried: _Tried | None) -> None:
        """Note the answer, and go on with the next of the chain if this one has arrived or is wanted no more."""
        if self._told_of(chain) is None:
            self._end(chain)
            return
        if tried is not None and tried.lacking is not None and self._is_told(tried):
            task = asyncio.ensure_future(self._park(chain, tried.entry, tried.lacking))
            self._parked.add(task)
            task.add_done_callback(self._parked.discard)
            return
        if tried is not None:
            metrics.CALLBACKS.labels(event=tried.entry["event"], outcome=tried.outcome).inc()
            self._answers.setdefault(chain.uid, {})[chain.ids[0]] = tried.answer
        del chain.ids[0]
        if chain.ids and (tried is None or tried.answer.delivered):
            self._submit(chain)
        else:
            self._end(chain)
        self._ring(chain)

    def _end(self, chain: _Chain) -> None:
        chains = self._under_way[chain.uid]
        del chains[chain.name]
        if not chains:
            del self._under_way[chain.uid]

    def _ring(self, chain: _Chain) -> None:
        """At once when nothing else of the object is being sent, else when that has had time to be answered too."""
        uid = chain.uid
        if all(other.parked is not None for other in self._under_way.get(uid, {}).values()):
            self._rung(chain)
        elif uid not in self._rings:
            self._rings[uid] = asyncio.get_running_loop().call_later(BATCH_SECONDS, self._rung, chain)

    def _rung(self, chain: _Chain) -> None:
        ring = self._rings.pop(chain.uid, None)
        if ring is not None:
            ring.cancel()
        if self._told_of(chain) is not None:
            self._queue.add(chain.key)

    def _is_told(self, tried: _Tried) -> bool:
        """Whether status says already what is lacking, and it is not too late: nobody need write it again."""
        return tried.entry.get("message") == tried.answer.message and tried.answer.at < self._deadline(
            tried.entry
        )

    def _deadline(self, entry: Json) -> float:
        return (seconds(entry.get("time")) or 0.0) + self._give_up

    async def _park(self, chain: _Chain, entry: Json, lacking: Lacking) -> None:
        chain.parked = asyncio.Event()
        wait = max(0.0, self._deadline(entry) - time.time())
        await self._secrets.changed(lacking, woken=chain.parked, within=wait)
        chain.parked = None
        self._submit(chain)

    def _told_of(self, chain: _Chain) -> Json | None:
        """The raw object, unless it is gone or going."""
        raw = self._cache.get(chain.key)
        if raw is None or raw["metadata"]["uid"] != chain.uid or raw["metadata"].get("deletionTimestamp"):
            return None
        return raw

    def _callback(self, chain: _Chain) -> Json | None:
        spec = (self._told_of(chain) or {}).get("spec") or {}
        return next((c for c in spec.get("callbacks") or [] if c.get("name") == chain.name), None)

    async def _try(self, chain: _Chain) -> _Tried | None:
        """One try of the first of a chain; None when there is nothing to deliver any more."""
        raw, wanted = self._told_of(chain), self._callback(chain)
        entry = _entry(raw, chain.ids[0]) if raw is not None else None
        if raw is None or entry is None or wanted is None:
            return None
        chain.callback = wanted
        sent_at = time.time()
        outcome, message, retry_after, lacking = "refused", "", None, None
        try:
            callback = Callback.model_validate(wanted)
            reply = await self._send(chain.key, raw, entry, callback, now=sent_at)
            outcome = "delivered" if reply.delivered else "gone" if reply.gone else "failed"
            message, retry_after = reply.message, reply.retry_after
        except credentials.UnusableSecretError as error:
            message = str(error)
            lacking = Lacking(chain.key.namespace, error.secret, error.version)
        except NotSentError as error:
            message = str(error)
        except ValidationError as error:
            message = f"Not sent: spec.callbacks cannot be read: {error.errors()[0]['msg']}."
        except NoReplyError as error:
            outcome, message = "failed", str(error)
        except Exception:
            logger.exception("Callback %s of %s/%s", entry["id"], chain.key.namespace, chain.key.name)
            message = "Not sent: the operator met an error, which its log has."
        answer = Answer(
            number=int(entry.get("attempts") or 0) + 1,
            sent_at=sent_at,
            at=time.time(),
            message=message,
            delivered=outcome == "delivered",
            gone=outcome == "gone",
            waiting=lacking is not None,
            retry_after=retry_after,
        )
        return _Tried(entry=entry, outcome=outcome, answer=answer, lacking=lacking)

    async def _send(self, key: Key, raw: Json, entry: Json, callback: Callback, *, now: float) -> Reply:
        headers, keys = await self._credentials(key.namespace, callback)
        make = cloudevent.body_of_experiment if key.kind == EXPERIMENT else cloudevent.body
        body = make(raw, entry)
        signed = signature.headers(message_id=entry["id"], timestamp=int(now), body=body, keys=keys)
        everything = {**headers, "Content-Type": cloudevent.CONTENT_TYPE, **signed}
        return await self._sender.post(callback.url, body=body, headers=everything)

    async def _credentials(
        self, namespace: str, callback: Callback
    ) -> tuple[dict[str, str], tuple[bytes, ...]]:
        """Headers and signing keys, read for this try and kept by nobody."""
        headers: dict[str, str] = {}
        keys: tuple[bytes, ...] = ()
        if callback.secret_ref is not None:
            keys = credentials.signing_keys(await self._secrets.read(namespace, callback.secret_ref.name))
        if callback.headers_secret_ref is not None:
            headers = credentials.headers(
                await self._secrets.read(namespace, callback.headers_secret_ref.name)
            )
        return headers, keys


def _entry(raw: Json, delivery: str) -> Json | None:
    entries = (raw.get("status") or {}).get("callbacks") or []
    return next((e for e in entries if e["id"] == delivery and e["state"] == "Pending"), None)


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
