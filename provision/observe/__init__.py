"""What is there: nodes, what runs inside Kafka, who leads, how ready it is."""
