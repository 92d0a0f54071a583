"""What runs once, on the client: the graph of each job, its sources and its sinks."""
