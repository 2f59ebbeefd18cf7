"""The loop: doorbells ring, keys wait in a queue, workers observe, plan and execute."""
