"""What is known of the world outside: the Kafka versions, and the images that hold them. Adding one is one entry."""
