"""Timed dialogs to packed token samples: tokens, frame indices, sample boundaries, labels, records."""
