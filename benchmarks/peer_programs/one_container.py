"""Start one broker with testcontainers, create its topics, say so, and end.

one_container.py IMAGE TOPICS PARTITIONS
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from adapted import Kafka
from confluent_kafka.admin import AdminClient, NewTopic


def main(image: str, topics: int, partitions: int) -> None:
    """The whole life."""
    with Kafka(image) as kafka:
        admin = AdminClient({"bootstrap.servers": kafka.get_bootstrap_server()})
        for future in admin.create_topics([NewTopic(f"t{n}", partitions, 1) for n in range(topics)]).values():
            future.result(timeout=60)
        print("ready", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
