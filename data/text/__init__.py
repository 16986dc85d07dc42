"""What sets of documents share: files, tokens, word vectors."""
