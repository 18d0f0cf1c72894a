"""Static knowledge of Kafka versions, and of the images that have them. Adding one is one entry."""
