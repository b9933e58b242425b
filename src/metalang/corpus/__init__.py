"""A corpus: a folder of token shards that says what it is. Written by `writer`, read by `reader`."""

from metalang.corpus.manifest import Manifest, ShardEntry
from metalang.corpus.reader import Corpus
from metalang.corpus.writer import Documents, ShardWriter, write_manifest

__all__ = ["Corpus", "Documents", "Manifest", "ShardEntry", "ShardWriter", "write_manifest"]
