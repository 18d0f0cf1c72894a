"""Resources inside Kafka: the registry of kinds, the rounds that plan and apply them, one module per kind."""
