"""`KafkaContainer` of testcontainers with another start script.

The original starts the scripts of Confluent's image. The image here is laid out like `apache/kafka` and has none of
them, so the script writes the properties from the same variables and starts Java itself, with the options of Kafka's
own start scripts. Everything else is the original's: how the container is started, found and waited for.
"""

import socket
from textwrap import dedent

from testcontainers.kafka import KafkaContainer

_JAVA = (
    "java -Xms256m -Xmx256m -server -XX:+UseG1GC -XX:MaxGCPauseMillis=20 -XX:InitiatingHeapOccupancyPercent=35 "
    "-XX:+ExplicitGCInvokesConcurrent -XX:MaxInlineLevel=15 -Dlog4j.configuration=file:/tmp/log4j.properties "
    "-cp '/opt/kafka/libs/*'"
)


class Kafka(KafkaContainer):
    """One broker in KRaft mode. Port 9094 is for the controllers.

    Args:
        image: laid out like `apache/kafka`.
        node: the broker's number.
        voters: for a cluster of several, `1@HOST:9094,…`.
    """

    def __init__(self, image: str, node: int = 1, voters: str = "1@localhost:9094") -> None:
        super().__init__(image)
        self.node, self.voters = node, voters
        self.kraft_enabled = True
        replicas = min(3, voters.count("@"))
        self.with_env("KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR", str(replicas))
        self.with_env("KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR", str(replicas))
        self.with_env("KAFKA_TRANSACTION_STATE_LOG_MIN_ISR", str(min(2, replicas)))

    def configure(self) -> None:
        """As the original, but for the number and the voters."""
        super().configure()
        self.env.pop("KAFKA_BROKER_ID", None)
        self.with_env("KAFKA_NODE_ID", str(self.node))
        self.with_env("KAFKA_CONTROLLER_QUORUM_VOTERS", self.voters)

    def start(self, timeout: int = 120) -> "Kafka":
        """As the original, whose 30 seconds are too few where four workers start their clusters at once."""
        return super().start(timeout)

    def tc_start(self) -> None:
        """Write the script that the container waits for."""
        advertised = f"PLAINTEXT://{self.get_container_host_ip()}:{self.get_exposed_port(self.port)}"
        script = dedent(f"""\
            export KAFKA_ADVERTISED_LISTENERS={advertised},BROKER://$(hostname -i):9092
            env | grep ^KAFKA_ | while IFS== read -r name value; do
                echo "$(echo "${{name#KAFKA_}}" | tr A-Z_ a-z.)=$value"
            done > /tmp/server.properties
            echo log.dirs=/var/lib/kafka/data >> /tmp/server.properties
            printf 'log4j.rootLogger=INFO, out\\nlog4j.appender.out=org.apache.log4j.ConsoleAppender\\n' \\
                > /tmp/log4j.properties
            printf 'log4j.appender.out.layout=org.apache.log4j.PatternLayout\\n' >> /tmp/log4j.properties
            printf 'log4j.appender.out.layout.ConversionPattern=[%%d] %%p %%m (%%c)%%n\\n' >> /tmp/log4j.properties
            {_JAVA} kafka.tools.StorageTool format --ignore-formatted -t {self.cluster_id} -c /tmp/server.properties
            exec {_JAVA} kafka.Kafka /tmp/server.properties
            """)
        self.create_file(script.encode(), KafkaContainer.TC_START_SCRIPT)


def free_port() -> int:
    """A port that is free now."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port
