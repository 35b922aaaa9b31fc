"""What several commands share: arguments and options, loading, records, messages."""
