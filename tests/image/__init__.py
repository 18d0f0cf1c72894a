"""Builds the Kafka images that the end-to-end tests run, so that nothing has to be pulled."""
