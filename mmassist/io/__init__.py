"""Files: atomic writing, tar shards with an index, records, and the one object that owns every output path."""
