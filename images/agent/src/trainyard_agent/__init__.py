"""The agent in a training pod: it fetches what the trainer goes on from, and brings what it makes to the output."""
