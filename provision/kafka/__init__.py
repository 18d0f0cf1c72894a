"""Requests to a running cluster, over the Kafka protocol and, for ZooKeeper, its four-letter words.

The modules of the client library import each other in a circle: two threads that start with different ones would
deadlock. So every module here imports `provision.kafka.library` first.
"""
