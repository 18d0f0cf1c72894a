"""What Kafka itself would say of a file, before anything is started: the rules that know the version.

`keys` looks up every property in what the jars of the version say, `versions` looks at versions that properties name;
`brokers`, `topics` and `ensemble` at what does not go together, and at what works and is regretted later. Without
network, and with no data but the package's own.
"""

from provision.spec.checks import RuleReads
from provision.spec.lint import brokers, ensemble, keys, topics, versions

RULES: tuple[RuleReads, ...] = (*versions.RULES, *keys.RULES, *brokers.RULES, *topics.RULES, *ensemble.RULES)
