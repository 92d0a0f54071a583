"""What is shipped beside the job: answers, metering, maintenance, and the command line over them."""
