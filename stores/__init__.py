"""Clients of what the product keeps outside Flink: the stream, the tables in DynamoDB, the lake."""
