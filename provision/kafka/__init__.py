"""Requests to a running cluster, over the Kafka protocol and, for ZooKeeper, its four-letter words.

The modules of the client library import one another. Two threads that begin with different ones would each wait for
the other; so what is imported first, everywhere in this package, is the library's own package.
"""
