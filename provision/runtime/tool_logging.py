"""How Kafka's own tools log on every runtime: they speak on standard output; what the client logs is kept apart."""

FILE_NAME = "tools-log4j.properties"
CONTENT = """\
log4j.rootLogger=WARN, stderr
log4j.appender.stderr=org.apache.log4j.ConsoleAppender
log4j.appender.stderr.target=System.err
log4j.appender.stderr.layout=org.apache.log4j.PatternLayout
log4j.appender.stderr.layout.ConversionPattern=[%d] %p %m (%c)%n
"""
