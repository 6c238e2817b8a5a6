"""Sessions: shell lines that go on where the one before left off, with its directory and its environment."""
