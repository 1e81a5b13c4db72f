"""Prepared samples for training: mixed, shuffled, shared by ranks and workers, resumable, collated."""

from mmassist.loader.catalog import list_shards
from mmassist.loader.collator import Collator
from mmassist.loader.dataset import PreparedDataset, iter_samples
from mmassist.loader.feature_store import FeatureStore
from mmassist.loader.prepared_loader import PreparedLoader
from mmassist.loader.source import Source, parse_sources

__all__ = [
    "Collator",
    "FeatureStore",
    "PreparedDataset",
    "PreparedLoader",
    "Source",
    "iter_samples",
    "list_shards",
    "parse_sources",
]
