"A deep-learning course whose notebooks are a tested package, and the audits its models answer to"

__version__ = "0.1.0"
