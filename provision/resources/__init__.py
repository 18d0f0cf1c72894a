"""What lives inside Kafka: the registry of kinds, the rounds that plan and make them, one module a kind."""
