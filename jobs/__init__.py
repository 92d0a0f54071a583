"""What runs once, on the client: the ingest job, its sources and its sinks."""
