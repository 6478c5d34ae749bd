"""What is remembered: pixels on disk, captions in an index, model replies by content hash."""
