"""The way back: rules for message events of Notifly on their way to Amplitude. No Flink, no network."""
