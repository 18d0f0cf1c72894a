"""One environment file becomes a running Kafka cluster, and leaves without a trace."""

__version__ = "0.1.0"
