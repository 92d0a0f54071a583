"""What a release is made of: Flink's distribution and the zip of the job's code."""
