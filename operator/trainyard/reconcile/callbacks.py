"""Deliveries of callbacks as reconciling sees them: handed over, and later answered by a ring.

Separate because nothing here waits for a receiver: a reconcile hands over what is due and returns, tasks of the
dispatcher send it, and the answers of a job ring for its next reconcile, which writes all that are there at once.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from pydantic import ValidationError

from trainyard import __version__, metrics
from trainyard.api.callbacks import Callback
from trainyard.callbacks import cloudevent, credentials, signature
from trainyard.callbacks.dispatch import Dispatcher, Lane
from trainyard.callbacks.sender import NoReplyError, NotSentError, Reply, Sender
from trainyard.cluster import resources
from trainyard.cluster.cache import Cache, Key
from trainyard.cluster.client import ApiError, Client
from trainyard.planning.observed import Answer
from trainyard.planning.plan import Delivery
from trainyard.reconcile.queue import KeyedQueue
from trainyard.settings import Callbacks

Json = dict[str, Any]

logger = logging.getLogger(__name__)

#: How long an answer waits for those of the same job's other deliveries, so that one write holds them.
BATCH_SECONDS = 1.0


class Deliveries:
    """Holds what is under way, by job and delivery, and answers until they are written."""

    def __init__(self, *, client: Client, cache: Cache, queue: KeyedQueue, settings: Callbacks) -> None:
        self._client = client
        self._cache = cache
        self._queue = queue
        self._dispatcher = Dispatcher(total=settings.concurrency)
        self._sender = Sender(
            allowed=settings.allowed_cidrs,
            seconds=settings.timeout_seconds,
            threads=settings.concurrency,
            user_agent=f"trainyard/{__version__}",
        )
        self._under_way: dict[str, set[str]] = {}
        self._answers: dict[str, dict[str, Answer]] = {}

    def send(self, key: Key, uid: str, delivery: Delivery) -> None:
        """Hand over; again is no harm while it is under way or its answer is not written."""
        under_way = self._under_way.setdefault(uid, set())
        if delivery.id in under_way or delivery.id in self._answers.get(uid, {}):
            return
        under_way.add(delivery.id)
        work = functools.partial(self._deliver, key, uid, delivery.id)
        self._dispatcher.submit(Lane(namespace=key.namespace, host=_host(delivery.url)), work)

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
        """The job is gone: what waits for it finds that out when its turn comes."""
        self._answers.pop(uid, None)

    async def close(self) -> None:
        """Break off what is under way; it is sent again after the next start."""
        await self._dispatcher.close()
        await self._sender.close()

    async def _deliver(self, key: Key, uid: str, delivery: str) -> None:
        answer = None
        try:
            answer = await self._answer(key, uid, delivery)
        finally:
            self._settle(key, uid, delivery, answer)

    def _settle(self, key: Key, uid: str, delivery: str, answer: Answer | None) -> None:
        under_way = self._under_way.get(uid, set())
        under_way.discard(delivery)
        if not under_way:
            self._under_way.pop(uid, None)
        if answer is None or self._cache.uid(key) != uid:
            return
        first = uid not in self._answers
        self._answers.setdefault(uid, {})[delivery] = answer
        if not under_way:
            self._queue.add(key)
        elif first:
            asyncio.get_running_loop().call_later(BATCH_SECONDS, self._queue.add, key)

    async def _answer(self, key: Key, uid: str, delivery: str) -> Answer | None:
        """One try; None when there is nothing to deliver any more."""
        job = self._cache.get(key)
        if job is None or job["metadata"]["uid"] != uid or job["metadata"].get("deletionTimestamp"):
            return None
        entry = _entry(job, delivery)
        raw = _raw_callback(job, entry["name"]) if entry is not None else None
        if entry is None or raw is None:
            return None
        sent_at = time.time()
        outcome, message, retry_after = "refused", "", None
        try:
            reply = await self._send(job, entry, Callback.model_validate(raw), now=sent_at)
            outcome = "delivered" if reply.delivered else "gone" if reply.gone else "failed"
            message, retry_after = reply.message, reply.retry_after
        except (NotSentError, credentials.UnusableSecretError) as error:
            message = str(error)
        except ValidationError as error:
            message = f"Not sent: spec.callbacks cannot be read: {error.errors()[0]['msg']}."
        except NoReplyError as error:
            outcome, message = "failed", str(error)
        except Exception:
            logger.exception("Callback %s of %s/%s", delivery, key.namespace, key.name)
            message = "Not sent: the operator met an error, which its log has."
        metrics.CALLBACKS.labels(event=entry["event"], outcome=outcome).inc()
        return Answer(
            number=int(entry.get("attempts") or 0) + 1,
            sent_at=sent_at,
            at=time.time(),
            message=message,
            delivered=outcome == "delivered",
            gone=outcome == "gone",
            retry_after=retry_after,
        )

    async def _send(self, job: Json, entry: Json, callback: Callback, *, now: float) -> Reply:
        headers, keys = await self._credentials(job["metadata"]["namespace"], callback)
        body = cloudevent.body(job, entry)
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
            keys = credentials.signing_keys(await self._secret(namespace, callback.secret_ref.name))
        if callback.headers_secret_ref is not None:
            headers = credentials.headers(await self._secret(namespace, callback.headers_secret_ref.name))
        return headers, keys

    async def _secret(self, namespace: str, name: str) -> Json:
        try:
            return await self._client.get(resources.path("Secret", namespace, name))
        except ApiError as error:
            if error.status == 404:
                raise credentials.UnusableSecretError(
                    f"There is no Secret {name} in this namespace yet."
                ) from error
            if error.status == 403:
                raise credentials.UnusableSecretError(
                    f"The operator may not read Secret {name}: its Role lacks `get` on secrets."
                ) from error
            raise credentials.UnusableSecretError(
                f"Secret {name} could not be read: {error.reason}."
            ) from error
        except (aiohttp.ClientError, TimeoutError) as error:
            raise credentials.UnusableSecretError(
                f"Secret {name} could not be read: the API server does not answer."
            ) from error


def _entry(job: Json, delivery: str) -> Json | None:
    entries = (job.get("status") or {}).get("callbacks") or []
    return next((e for e in entries if e["id"] == delivery and e["state"] == "Pending"), None)


def _raw_callback(job: Json, name: str) -> Json | None:
    return next((c for c in (job.get("spec") or {}).get("callbacks") or [] if c.get("name") == name), None)


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
