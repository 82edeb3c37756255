"""Template texts as vectors: the encoder, its table and ragged sequences."""
