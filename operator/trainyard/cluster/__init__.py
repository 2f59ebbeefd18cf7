"""Everything that talks to the API server: client, cache, log follower, executing a plan."""
