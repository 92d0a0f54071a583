"""The intake: an HTTP door in front of the stream. It acknowledges a request once Kinesis has it."""
