"""The client link and what is relayed from it to the nodes' links: calls, streams, events."""
