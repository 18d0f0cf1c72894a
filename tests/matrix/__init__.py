"""Every supported line of Kafka, by `make test-matrix`."""
