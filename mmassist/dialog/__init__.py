"""Task dialogs: annotation text, prompts, schemas, parsing, timing, records, scores and selection. No engine here."""
