"""How Kafka's own tools log on every runtime: their output goes to standard output, client logs to standard error."""

from provision.cluster.resolve import file_url

_LOG4J = """\
log4j.rootLogger=WARN, stderr
log4j.appender.stderr=org.apache.log4j.ConsoleAppender
log4j.appender.stderr.target=System.err
log4j.appender.stderr.layout=org.apache.log4j.PatternLayout
log4j.appender.stderr.layout.ConversionPattern=[%d] %p %m (%c)%n
"""
_LOG4J2 = """\
appender.stderr.type=Console
appender.stderr.name=stderr
appender.stderr.target=SYSTEM_ERR
appender.stderr.layout.type=PatternLayout
appender.stderr.layout.pattern=[%d] %p %m (%c)%n
rootLogger.level=WARN
rootLogger.appenderRef.stderr.ref=stderr
"""
FILES = {"tools-log4j.properties": _LOG4J, "tools-log4j2.properties": _LOG4J2}


def options(directory: str) -> tuple[str, str]:
    """The JVM options that name the files in `directory`; each release reads the one for its logging library."""
    log4j, log4j2 = FILES
    return (
        f"-Dlog4j.configuration={file_url(f'{directory}/{log4j}')}",
        f"-Dlog4j2.configurationFile={file_url(f'{directory}/{log4j2}')}",
    )
