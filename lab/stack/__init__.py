"""The embedded stack: emulators and Flink as real processes, and what starts and watches them."""
