"""Images with the same jars, laid out as other projects lay theirs out: none of them can be pulled for a test.

What differs between them is what the catalogue knows of them: where Java and the jars are, whose account is used, which
volumes the image asks for. Their start scripts are missing; the program does not use them. ZooKeeper's image gets the
jars of ZooKeeper's own release, with the logging library that Kafka does not have.
"""

import hashlib
import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

import docker
import jgo
from docker.errors import ImageNotFound

from tests.image.build import BASE_REPOSITORY, RECIPE_LABEL, ensure_image

_KAFKA = "3.9.1"
_ZOOKEEPER = "3.8.4"
# What its distribution brings and its jar does not ask for.
_BESIDE_ZOOKEEPER = ("io.dropwizard.metrics:metrics-core:4.1.12.1", "org.xerial.snappy:snappy-java:1.1.10.5")
_DOCKERFILES = {
    "confluentinc/cp-kafka:7.9.1": """\
FROM {kafka}
USER root
RUN mkdir -p /usr/share/java/cp-base-new && mv /opt/kafka/libs /usr/share/java/kafka && rm -r /opt/kafka
VOLUME ["/etc/kafka/secrets", "/var/lib/kafka/data"]
USER appuser
WORKDIR /home/appuser
""",
    "bitnamilegacy/kafka:3.9.1": """\
FROM {kafka}
USER root
RUN mkdir -p /opt/bitnami/kafka /bitnami/kafka && mv /opt/kafka/libs /opt/bitnami/kafka/libs && rm -r /opt/kafka && \
mv /opt/java/openjdk /opt/bitnami/java && rm -f /usr/bin/java && chown -R 1001:0 /bitnami
ENV JAVA_HOME=/opt/bitnami/java PATH=/opt/bitnami/java/bin:/opt/bitnami/kafka/bin:/usr/local/bin:/usr/bin:/bin
VOLUME ["/bitnami/kafka", "/docker-entrypoint-initdb.d"]
USER 1001
""",
    f"zookeeper:{_ZOOKEEPER}": """\
FROM {base}
RUN rm -r /opt/kafka /etc/kafka /var/lib/kafka
ENV ZOO_CONF_DIR=/conf PATH=/opt/java/openjdk/bin:/usr/local/bin:/usr/bin:/bin:/apache-zookeeper-{zookeeper}-bin/bin
COPY conf /conf
COPY libs /apache-zookeeper-{zookeeper}-bin/lib
WORKDIR /apache-zookeeper-{zookeeper}-bin
VOLUME ["/data", "/datalog", "/logs"]
EXPOSE 2181 2888 3888 8080
""",
}
_LOGBACK = """\
<configuration>
  <appender name="CONSOLE" class="ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>%d{ISO8601} logback %-5p %c %m%n</pattern></encoder>
  </appender>
  <root level="INFO"><appender-ref ref="CONSOLE"/></root>
</configuration>
"""


def ensure_layout(name: str) -> str:
    """The tag of an image laid out like `name`, made when it is missing: a mirror's name, never the real one."""
    tag = f"layouts.test/{name}"
    kafka = ensure_image(_KAFKA)
    client = docker.from_env(timeout=600)
    try:
        base = kafka if "{kafka}" in _DOCKERFILES[name] else BASE_REPOSITORY
        dockerfile = _DOCKERFILES[name].format(kafka=kafka, base=BASE_REPOSITORY, zookeeper=_ZOOKEEPER)
        recipe = hashlib.sha256(f"{client.images.get(base).id} {dockerfile} {_LOGBACK}".encode()).hexdigest()
        if not _is_made_by(client, tag, recipe):
            context = _context(dockerfile, _files() if name.startswith("zookeeper:") else {})
            client.images.build(
                fileobj=context, custom_context=True, tag=tag, labels={RECIPE_LABEL: recipe}, rm=True, forcerm=True
            )
    finally:
        client.close()
    return tag


def _is_made_by(client: docker.DockerClient, tag: str, recipe: str) -> bool:
    try:
        return bool(client.images.get(tag).labels.get(RECIPE_LABEL) == recipe)
    except ImageNotFound:
        return False


def _files() -> Mapping[str, bytes | Path]:
    artifacts = jgo.resolve("+".join((f"org.apache.zookeeper:zookeeper:{_ZOOKEEPER}", *_BESIDE_ZOOKEEPER)))
    jars = sorted((artifact.resolve() for artifact in artifacts), key=lambda jar: jar.name)
    return {"conf/logback.xml": _LOGBACK.encode(), **{f"libs/{jar.name}": jar for jar in jars}}


def _context(dockerfile: str, files: Mapping[str, bytes | Path]) -> io.BytesIO:
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as archive:
        for name, content in {"Dockerfile": dockerfile.encode(), **files}.items():
            data = content.read_bytes() if isinstance(content, Path) else content
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(data), 0o644
            archive.addfile(member, io.BytesIO(data))
    context.seek(0)
    return context
