"""What stands beside the job: the command line, the local stack, samples and reports."""
