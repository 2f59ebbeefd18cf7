"""Delivering callbacks: the CloudEvent, its signature, which addresses may be reached, the POST itself.

Separate from `reconcile.callbacks`, which calls it: nothing here knows the API server, the cache or the queue.
"""
