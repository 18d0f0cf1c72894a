"""Writes `provision/spec/lint/known_keys.json`: the configuration keys of each Kafka release line, from its jars."""
