"""The observed state: nodes, the cluster inside Kafka, leaders, readiness."""
