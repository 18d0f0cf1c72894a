"""What tests of an application use: environments shared by a test run, and a cluster cut to one test.

The pytest plugin (`provision.pytest_plugin`) gives both as fixtures; other test runners can use them as they are.
"""

from provision.testing.kafka import Kafka, Leftovers
from provision.testing.pool import Pool, Wanted
from provision.testing.topic import TestTopic

__all__ = ["Kafka", "Leftovers", "Pool", "TestTopic", "Wanted"]
