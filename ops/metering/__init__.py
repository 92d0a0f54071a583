"""Metering beside the job: alerts, their webhook, and the close of months."""
