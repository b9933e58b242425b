"""Artificial languages. A domain knows symbols 0, 1, ... and a random stream; it knows no tokenizer.

Each module of this folder is a family of domains; a class in it that names its `type` is a domain, and that is all that
adding one takes: `registry` finds it, the command lines read it, the contract tests run it.
"""

from metalang.domains.contract import Domain, Sequences
from metalang.domains.registry import domain_types, read_domain
from metalang.domains.vocabulary import Vocabulary

__all__ = ["Domain", "Sequences", "Vocabulary", "domain_types", "read_domain"]
